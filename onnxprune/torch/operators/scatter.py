"""ScatterND and ScatterElements."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, fill, tidy
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import spread

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _both(call: Call, scatter: object) -> Masked:
    """Scatter the updates into the data, and their levels into its levels."""
    assert callable(scatter)
    data, index, updates = call[0], call[1], call[2]
    if index.present is not None:
        raise call.refuse("missing indices")
    reduction = call.attribute("reduction", "none")
    value = scatter(data.value, index.value, updates.value, reduction)
    if data.marks is None and updates.marks is None:
        return Masked(value)
    if reduction != "none":
        raise call.refuse(f"missing entries with reduction {reduction!r}")
    before, written = (spread(x, range(x.value.ndim)) for x in (data, updates))
    marks = scatter(before.contiguous(), index.value, written.contiguous(), "none")
    return Masked(fill(value, marks), tidy(marks))


@operator("ScatterElements", "Scatter")
def _scatter_elements(call: Call) -> Masked:
    axis = call.attribute("axis", 0)

    def scatter(data: Tensor, index: Tensor, updates: Tensor, reduction: str) -> Tensor:
        index = torch.where(index < 0, index + data.shape[axis], index).to(torch.int64)
        if reduction == "none":
            return data.scatter(axis, index, updates)
        return data.scatter_reduce(axis, index, updates, _REDUCTIONS[reduction])

    return _both(call, scatter)


@operator("ScatterND")
def _scatter_nd(call: Call) -> Masked:
    def scatter(data: Tensor, index: Tensor, updates: Tensor, reduction: str) -> Tensor:
        depth = index.shape[-1]
        sizes, rest = data.shape[:depth], data.shape[depth:]
        flat = torch.zeros(index.shape[:-1], dtype=torch.int64)
        for size, column in zip(sizes, index.unbind(-1), strict=True):
            flat = flat * size + torch.where(column < 0, column + size, column)
        rows = data.reshape(sizes.numel(), -1)
        where = flat.reshape(-1, 1).expand(-1, rows.shape[1])
        written = updates.reshape(where.shape)
        if reduction == "none":
            rows = rows.scatter(0, where, written)
        else:
            rows = rows.scatter_reduce(0, where, written, _REDUCTIONS[reduction])
        return rows.reshape(*sizes, *rest)

    return _both(call, scatter)
