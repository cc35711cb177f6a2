"""Slices of tensors: taken, put back in place, copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxprune.errors import OnnxPruneError
from onnxprune.torch.dynamic.container import Ids, Mask

__all__ = ["Copies", "Cut", "Pick", "Take", "gather", "on", "rebuild", "scatter", "take", "where"]

Pick = Mapping[int, Ids]
"""What is taken of a tensor: for some of its axes the indices, (k,), or, on axis 1, (rows, k) for
each row that axis 0 is left with."""

Take = Callable[[Tensor, Pick], Tensor]
"""How it is taken."""


@dataclass(frozen=True)
class Cut:
    """What a layer is without its removed channels.

    Attributes:
        kept: By container, which of its indices the layer still uses.
        attributes: The attributes that state sizes, as they become.
        picks: What is left of each parameter and buffer; those that are not named stay whole.
    """

    kept: Mapping[str, Mask]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    picks: Mapping[str, Pick] = field(default_factory=dict)


def where(mask: Mask) -> Ids:
    """The indices at which a mask is true."""
    return np.flatnonzero(mask).astype(np.int64)


def on(tensor: Tensor, ids: Ids | Mask) -> Tensor:
    """Indices as a tensor on the device of another.

    Args:
        tensor: The other tensor.
        ids: The indices.
    """
    return torch.from_numpy(np.ascontiguousarray(ids)).to(tensor.device)


def take(tensor: Tensor, pick: Pick) -> Tensor:
    """A slice of a tensor, through which gradients flow back; the tensor itself if it is all.

    Args:
        tensor: Of any shape.
        pick: What to take.
    """
    for axis, ids in sorted(pick.items()):
        if ids.ndim == 2:
            index = ids.reshape(*ids.shape, *[1] * (tensor.ndim - 2))
            tensor = torch.take_along_dim(tensor, on(tensor, index), axis)
        elif len(ids) < tensor.shape[axis]:
            tensor = tensor.index_select(axis, on(tensor, ids))
    return tensor


def gather(x: Tensor, axis: int, kept: Mask, width: Mask, what: str) -> Tensor:
    """The kept entries along an axis of a tensor that has its physical width.

    Args:
        x: A tensor with `width.sum()` entries along the axis.
        axis: The axis.
        kept: (n,) which of n entries to keep.
        width: (n,) which of n entries the tensor has.
        what: What takes the tensor, for the error.

    Raises:
        OnnxPruneError: If the tensor has another size.
    """
    expected = int(width.sum())
    if x.shape[axis] != expected:
        raise OnnxPruneError(
            f"{what} is left with {expected} of {len(width)} channels, but is given "
            f"{x.shape[axis]}; what comes before it must lose the same, or they must be masked."
        )
    return take(x, {axis: where(kept[width])})


def scatter(x: Tensor, axis: int, kept: Mask, width: Mask) -> Tensor:
    """The opposite of `gather`: zeros along the axis where entries are there but not kept."""
    if np.array_equal(kept, width):
        return x
    shape = list(x.shape)
    shape[axis] = int(width.sum())
    return x.new_zeros(shape).index_copy(axis, on(x, where(kept[width])), x)


class Copies:
    """Detached copies of slices. The same slice of the same tensor is copied once: ties hold.

    Attributes:
        memo: By the id of each tensor that was copied whole, its copy, as `copy.deepcopy` has it.
    """

    def __init__(self) -> None:
        self.memo: dict[int, Any] = {}
        self._made: dict[object, Tensor] = {}

    def __call__(self, tensor: Tensor, pick: Pick) -> Tensor:
        """The copy: a parameter of a parameter, with the same requires_grad."""
        parts = {axis: ids for axis, ids in pick.items() if not _is_all(ids, tensor.shape[axis])}
        key = (id(tensor), *((a, ids.shape, ids.tobytes()) for a, ids in sorted(parts.items())))
        if key not in self._made:
            copy = take(tensor.detach(), parts).clone()
            made = nn.Parameter(copy) if isinstance(tensor, nn.Parameter) else copy
            self._made[key] = made.requires_grad_(tensor.requires_grad)
            if not parts:
                self.memo[id(tensor)] = made
        return self._made[key]


def _is_all(ids: Ids, size: int) -> bool:
    return ids.ndim == 1 and len(ids) == size


BARE = frozenset(vars(nn.Module())) - {"training"}
"""What every module has: its tensors, its submodules and its hooks."""


def rebuild(
    module: nn.Module,
    plain: type[nn.Module],
    picks: Mapping[str, Pick],
    attributes: Mapping[str, Any],
    cut: Take = take,
) -> nn.Module:
    """A layer of a plain class with the tensors of another, or slices of them, and no hooks.

    Nothing is initialised anew; attributes are those of the other layer, except those that are
    given. Submodules are left out.

    Args:
        module: The other layer.
        plain: The class of the new one.
        picks: What is left of its parameters and buffers.
        attributes: Attributes with new values.
        cut: How slices are taken.
    """
    shell = plain.__new__(plain)
    nn.Module.__init__(shell)
    own = {name: value for name, value in vars(module).items() if name not in BARE}
    shell.__dict__.update(own | dict(attributes))
    for part in ("_parameters", "_buffers"):
        getattr(shell, part).update(
            {
                name: None if tensor is None else cut(tensor, picks.get(name, {}))
                for name, tensor in getattr(module, part).items()
            }
        )
    shell._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
    return shell
