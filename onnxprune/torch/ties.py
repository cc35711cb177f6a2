"""The order of ties.

ONNX's TopK takes the lower index first of values that are equal; torch leaves their order open. A
torch module is compared with its graph in the order that both allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["OrderedTies"]

aten = torch.ops.aten


class OrderedTies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, torch's `topk` and `sort` put the lower index first of equal values."""

    def __torch_dispatch__(
        self,
        function: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls the operator, or its stable form."""
        stable = _STABLE.get(function, function)
        return stable(*args, **(kwargs or {}))


def _topk(
    values: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    order = torch.sort(values, dim=dim, descending=largest, stable=True)
    return order.values.narrow(dim, 0, k), order.indices.narrow(dim, 0, k)


def _sort(values: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    order = torch.sort(values, dim=dim, descending=descending, stable=True)
    return order.values, order.indices


_STABLE: Mapping[Any, Callable[..., Any]] = {aten.topk.default: _topk, aten.sort.default: _sort}
