"""Slice, Gather and other choices of entries."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import MISSING, Masked, fill, levels_of, tidy
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole, reshape, spread, take


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
    x, index = call[0], call[1]
    axis = call.attribute("axis", 0) % x.value.ndim
    where = torch.where(index.value < 0, index.value + x.shape[axis], index.value)
    value = torch.gather(x.value, axis, where)
    if x.marks is None and index.marks is None:
        return Masked(value)
    marks = torch.gather(spread(x, range(x.value.ndim)), axis, where)
    if index.levels is not None:  # an index does not object to what it points at
        marks = marks * (index.levels != MISSING)
    return Masked(fill(value, marks), tidy(marks))


@operator("GatherND")
def _gather_nd(call: Call) -> Masked:
    x, index = call[0], call[1]
    if index.present is not None:
        raise call.refuse("missing indices")
    batch = call.attribute("batch_dims", 0)
    value = _gathered(x.value, index.value, batch)
    if x.marks is None:
        return Masked(value)
    return Masked(value, tidy(_gathered(spread(x, range(x.value.ndim)), index.value, batch)))


def _gathered(data: Tensor, index: Tensor, batch: int) -> Tensor:
    lead = [
        torch.arange(n).reshape([-1 if a == i else 1 for a in range(index.ndim - 1)])
        for i, n in enumerate(index.shape[:batch])
    ]
    return data[(*lead, *index.unbind(-1))]


@operator("NonZero")
def _non_zero(call: Call) -> Masked:
    if call[0].present is not None:
        raise call.refuse("missing entries, which it would count")
    return Masked(call.tensor(0).nonzero().T)


@operator("TopK")
def _top_k(call: Call) -> list[Masked]:
    x = call[0]
    axis = call.attribute("axis", -1) % x.value.ndim
    demand_whole(x, [axis], "by position along which the largest are told")
    count = call.attribute("k") if call.opset < 10 else int(call.tensor(1))
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
    demand_whole(x, range(x.value.ndim - 2, x.value.ndim), "which are cut by position")
    k = call.optional(1)
    offset = 0 if k is None else int(k.value)
    function = torch.triu if call.attribute("upper", 1) else torch.tril
    return Masked(function(x.value, offset), x.levels, x.born - {x.value.ndim - 1})


@operator("OneHot")
def _one_hot(call: Call) -> Masked:
    index = call[0]
    depth, (off, on) = int(call.tensor(1)), call.tensor(2)
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
    chosen = call.tensor(1).nonzero().flatten()
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    return take(x, axis, chosen)


def _unborn(value: Tensor, marks: Tensor) -> Masked:
    return Masked(fill(value, marks), tidy(marks))
