"""Slice, Gather and other choices of entries."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import MISSING, Footprint, Masked, fill, levels_of, meet, tidy
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole, positions, reshape, spread, take, whole


@operator("Slice")
def _slice(call: Call) -> Masked:
    x = call[0]
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3)
    axes = list(range(len(starts))) if axes is None else [a % x.value.ndim for a in axes]
    steps = (call.integers("steps", 4) if call.opset >= 10 else None) or [1] * len(starts)
    value, levels = x.value, x.levels
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where = range(value.shape[axis])[start:end:step]
        value = _picked(value, axis, where)
        if levels is not None and levels.shape[axis] != 1:
            levels = _picked(levels, axis, where)
    return Masked(value, tidy(levels), x.born)


def _picked(tensor: Tensor, axis: int, where: range) -> Tensor:
    if len(where) == 0:
        return tensor.narrow(axis, 0, 0)
    if where.step > 0:
        full = [slice(None)] * axis
        return tensor[(*full, slice(where.start, where.stop, where.step))]
    return tensor.index_select(axis, torch.tensor(where))


@operator("Gather")
def _gather(call: Call) -> Masked:
    x, index = call[0], call[1]
    axis = call.attribute("axis", 0) % x.value.ndim
    result = take(x, axis, index.value)
    if index.present is None:
        return result
    after = [1] * (x.value.ndim - axis - 1)
    chosen = reshape(index, [*[1] * axis, *index.shape, *after])
    marks = levels_of(result) * (levels_of(chosen) != MISSING)
    return Masked(fill(result.value, marks), tidy(marks))


@operator("GatherElements")
def _gather_elements(call: Call) -> Masked:
    x = call[0]
    axis = call.attribute("axis", 0) % x.value.ndim
    index = positions(call[1], axis)
    where = torch.where(index.value < 0, index.value + x.shape[axis], index.value)
    value = torch.gather(x.value, axis, where)
    if x.marks is None and index.marks is None:
        return Masked(value)
    uneven = [a for a, n in enumerate(index.shape) if a != axis and n != x.shape[a]]
    x, index = (whole(v, uneven, "told by position", i) for i, v in enumerate((x, index)))
    common = meet(
        [Footprint(levels_of(v).amax(axis, True), (), v.born - {axis}) for v in (x, index)]
    )
    marks = torch.gather(spread(x, range(x.value.ndim)), axis, where)
    marks = marks * (levels_of(index) != MISSING) * (common != MISSING)
    return Masked(fill(value, marks), tidy(marks))


@operator("GatherND")
def _gather_nd(call: Call) -> Masked:
    x, index = call[0], call.setting(1)
    batch = call.attribute("batch_dims", 0)
    value = _gathered(x.value, index, batch)
    if x.marks is None:
        return Masked(value)
    return Masked(value, tidy(_gathered(spread(x, range(x.value.ndim)), index, batch)))


def _gathered(data: Tensor, index: Tensor, batch: int) -> Tensor:
    lead = [
        torch.arange(n).reshape([-1 if a == i else 1 for a in range(index.ndim - 1)])
        for i, n in enumerate(index.shape[:batch])
    ]
    return data[(*lead, *index.unbind(-1))]


@operator("NonZero")
def _non_zero(call: Call) -> Masked:
    return Masked(call.setting(0).nonzero().T)


@operator("TopK")
def _top_k(call: Call) -> list[Masked]:
    x = call[0]
    axis = call.attribute("axis", -1) % x.value.ndim
    x = whole(x, [axis], "along which the largest are told by position")
    count = call.attribute("k") if call.opset < 10 else int(call.setting(1))
    largest = bool(call.attribute("largest", 1))
    values, index = torch.sort(x.value, dim=axis, descending=largest, stable=True)
    born = x.born - {axis}
    return [
        Masked(values.narrow(axis, 0, count), x.levels, born),
        Masked(index.narrow(axis, 0, count), x.levels, born),
    ]


@operator("Trilu")
def _trilu(call: Call) -> Masked:
    x = call[0]
    x = whole(x, range(x.value.ndim - 2, x.value.ndim), "which are cut by position")
    k = call.optional_setting(1)
    offset = 0 if k is None else int(k)
    function = torch.triu if call.attribute("upper", 1) else torch.tril
    return Masked(
        function(x.value, offset), x.levels, x.born - {x.value.ndim - 2, x.value.ndim - 1}
    )


@operator("OneHot")
def _one_hot(call: Call) -> Masked:
    index = call[0]
    depth, (off, on) = int(call.setting(1)), call.setting(2)
    axis = call.attribute("axis", -1)
    axis = axis + index.value.ndim + 1 if axis < 0 else axis
    where = index.value.to(torch.int64)
    where = torch.where(where < 0, where + depth, where).unsqueeze(axis)
    classes = torch.arange(depth).reshape([-1 if a == axis else 1 for a in range(where.ndim)])
    value = torch.where(where == classes, on, off)
    marks = index.marks
    return Masked(value) if marks is None else _unborn(value, marks.unsqueeze(axis))


@operator("Compress")
def _compress(call: Call) -> Masked:
    x, axis = call[0], call.attribute("axis")
    chosen = call.setting(1).nonzero().flatten()
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    return take(x, axis, chosen)


@operator("ReverseSequence")
def _reverse_sequence(call: Call) -> Masked:
    batch, time = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    x = whole(call[0], [batch, time], "along which sequences are turned around")
    lengths = call.setting(1)[:, None]
    steps = torch.arange(x.shape[time])[None]
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    index = index if batch < time else index.T
    index = index.reshape([n if a in (batch, time) else 1 for a, n in enumerate(x.shape)])
    value = x.value.gather(time, index.expand(x.shape))
    return Masked(value, x.levels, x.born - {batch, time})


@operator("Unique")
def _unique(call: Call) -> list[Masked]:
    x, axis = call[0], call.attribute("axis")
    demand_whole(x, range(x.value.ndim), "which are compared")
    value = x.value.flatten() if axis is None else x.value
    axis = 0 if axis is None else axis % value.ndim
    rows = value.movedim(axis, 0).reshape(value.shape[axis], -1)
    _, inverse, counts = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    first = torch.full_like(counts, len(rows)).scatter_reduce(
        0, inverse, torch.arange(len(rows)), "amin"
    )
    if not call.attribute("sorted", 1):
        order = first.argsort()
        first, counts, inverse = first[order], counts[order], order.argsort()[inverse]
    return [Masked(v) for v in (value.index_select(axis, first), first, inverse, counts)]


def _unborn(value: Tensor, marks: Tensor) -> Masked:
    return Masked(fill(value, marks), tidy(marks))
