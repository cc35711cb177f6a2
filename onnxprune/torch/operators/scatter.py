"""ScatterND, ScatterElements and TensorScatter: entries written over others."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from onnxprune.torch.masked import (
    MISSING,
    Footprint,
    Masked,
    fill,
    levels_of,
    meet,
    tidy,
)
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import positions, reshape, spread, whole

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _written(data: Masked, axis: int, index: Masked, updates: Masked, reduction: str) -> Masked:
    """Updates written into the data at positions along an axis, one for each update.

    Along the axis the data may miss what they like; elsewhere all must miss the same.
    """
    where = torch.where(index.value < 0, index.value + data.shape[axis], index.value)
    where = where.to(torch.int64)
    if reduction == "none":
        value = data.value.scatter(axis, where, updates.value)
    else:
        value = data.value.scatter_reduce(axis, where, updates.value, _REDUCTIONS[reduction])
    born = data.born & updates.born - {axis}
    if all(x.levels is None and axis not in x.born for x in (data, index, updates)):
        return Masked(value, None, born)
    others = [a for a in range(data.value.ndim) if a != axis]
    uneven = [a for a in others if data.shape[a] != updates.shape[a]]
    everywhere = [*uneven, axis] if reduction != "none" else uneven
    index = whole(index, [axis], "which say where to write", 1)
    operands = [
        whole(x, everywhere, "to which updates are written by position", position)
        for position, x in enumerate([data, index, updates])
    ]
    data, index, updates = operands
    meet([Footprint(levels_of(x), (), x.born) for x in (index, updates)])
    common = meet([Footprint(levels_of(x).amax(axis, True), (), x.born - {axis}) for x in operands])
    if reduction != "none":
        return Masked(fill(value, common), tidy(common), born)
    before, after = (spread(x, range(x.value.ndim)) * (common != MISSING) for x in (data, updates))
    marks = before.expand(data.shape).scatter(axis, where, after.expand(updates.shape))
    return Masked(fill(value, marks), tidy(marks), born)


@operator("ScatterElements", "Scatter")
def _scatter_elements(call: Call) -> Masked:
    axis = call.attribute("axis", 0) % call.tensor(0).ndim
    index = positions(call[1], axis)
    return _written(call[0], axis, index, call[2], call.attribute("reduction", "none"))


@operator("ScatterND")
def _scatter_nd(call: Call) -> Masked:
    data, index, updates = call[0], call.setting(1), call[2]
    depth = index.shape[-1]
    sizes, rest = data.shape[:depth], data.shape[depth:]
    row = torch.zeros(index.shape[:-1], dtype=torch.int64)
    for size, column in zip(sizes, index.unbind(-1), strict=True):
        row = row * size + torch.where(column < 0, column + size, column)
    where = _repeated(row.reshape(-1, *[1] * len(rest)), [row.numel(), *rest])
    rows = reshape(data, [prod(sizes), *rest])
    written = reshape(updates, [row.numel(), *rest])
    reduction = call.attribute("reduction", "none")
    return reshape(_written(rows, 0, where, written, reduction), data.shape)


@operator("TensorScatter")
def _tensor_scatter(call: Call) -> Masked:
    data, updates, starts = call[0], call[1], call.optional_setting(2)
    axis = call.attribute("axis", -2) % data.value.ndim
    updates = whole(updates, [0, axis], "which are written one after the other", 1)
    first = torch.zeros(data.shape[0], dtype=torch.int64) if starts is None else starts
    index = first[:, None] + torch.arange(updates.shape[axis])
    if call.attribute("mode", "linear") == "circular":
        index = index % data.shape[axis]
    index = index.reshape([n if a in (0, axis) else 1 for a, n in enumerate(updates.shape)])
    return _written(data, axis, _repeated(index, updates.shape), updates, "none")


def _repeated(index: Tensor, shape: Sequence[int]) -> Masked:
    """The same positions for all entries of other axes, whichever are missing."""
    born = frozenset(a for a, n in enumerate(shape) if index.shape[a] != n)
    return Masked(index.expand(*shape), None, born)
