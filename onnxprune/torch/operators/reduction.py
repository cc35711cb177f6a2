"""Reductions, over what is present."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, count_present, elementwise, fill, tidy
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole

_Reducer = Callable[[Masked, Sequence[int]], Tensor]


def lowest(dtype: torch.dtype) -> float:
    """What any maximum ignores."""
    if dtype == torch.bool:
        return False
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def highest(dtype: torch.dtype) -> float:
    """What any minimum ignores."""
    if dtype == torch.bool:
        return True
    return float("inf") if dtype.is_floating_point else torch.iinfo(dtype).max


def _sum(x: Masked, axes: Sequence[int]) -> Tensor:
    return x.value.sum(tuple(axes), keepdim=True, dtype=x.value.dtype)


def _product(x: Masked, axes: Sequence[int]) -> Tensor:
    value = fill(x.value, x.levels, 1)
    for axis in axes:
        value = value.prod(axis, keepdim=True, dtype=value.dtype)
    return value


def _mean(x: Masked, axes: Sequence[int]) -> Tensor:
    if not x.varies(axes) and x.value.is_floating_point():
        return x.value.mean(tuple(axes), keepdim=True)
    return (_sum(x, axes) / count_present(x, axes)).to(x.value.dtype)


def _maximum(x: Masked, axes: Sequence[int]) -> Tensor:
    least = lowest(x.value.dtype)
    if 0 in (x.shape[a] for a in axes):
        return x.value.new_full([1 if a in axes else n for a, n in enumerate(x.shape)], least)
    value = fill(x.value, x.levels, least)
    return value.amax(tuple(axes), keepdim=True)


def _minimum(x: Masked, axes: Sequence[int]) -> Tensor:
    most = highest(x.value.dtype)
    if 0 in (x.shape[a] for a in axes):
        return x.value.new_full([1 if a in axes else n for a, n in enumerate(x.shape)], most)
    value = fill(x.value, x.levels, most)
    return value.amin(tuple(axes), keepdim=True)


def _log_sum_exp(x: Masked, axes: Sequence[int]) -> Tensor:
    if not x.value.is_floating_point():
        return x.value.double().exp().sum(tuple(axes), keepdim=True).log().to(x.value.dtype)
    return torch.logsumexp(fill(x.value, x.levels, float("-inf")), tuple(axes), keepdim=True)


def _l1(x: Masked, axes: Sequence[int]) -> Tensor:
    return x.value.abs().sum(tuple(axes), keepdim=True, dtype=x.value.dtype)


def _sum_square(x: Masked, axes: Sequence[int]) -> Tensor:
    return (x.value * x.value).sum(tuple(axes), keepdim=True, dtype=x.value.dtype)


def _l2(x: Masked, axes: Sequence[int]) -> Tensor:
    square = _sum_square(x, axes)
    return square.sqrt() if square.is_floating_point() else square.double().sqrt().to(square.dtype)


def _log_sum(x: Masked, axes: Sequence[int]) -> Tensor:
    return _sum(x, axes).log()


_REDUCERS: dict[str, _Reducer] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _maximum,
    "ReduceMean": _mean,
    "ReduceMin": _minimum,
    "ReduceProd": _product,
    "ReduceSum": _sum,
    "ReduceSumSquare": _sum_square,
}


def reduced(x: Masked, axes: Sequence[int], value: Tensor, keep: bool = True) -> Masked:
    """A reduction's result: missing where all that was reduced is missing."""
    marks = x.marks
    if marks is not None and axes:
        marks = tidy(marks.amax(tuple(axes), keepdim=True))
        value = fill(value, marks)
    if keep or not axes:
        return Masked(value, marks)
    left = [a for a in range(x.value.ndim) if a not in axes]
    value = value.reshape([value.shape[a] for a in left])
    return Masked(value, None if marks is None else marks.reshape([marks.shape[a] for a in left]))


@operator(*_REDUCERS)
def _reduce(call: Call) -> Masked:
    x = call[0]
    axes = call.integers("axes", 1)
    if not axes:
        if call.attribute("noop_with_empty_axes", 0):
            return _nothing_reduced(call)
        axes = list(range(x.value.ndim))
    axes = sorted({a % x.value.ndim for a in axes}) if x.value.ndim else []
    keep = bool(call.attribute("keepdims", 1))
    if not axes:
        return _nothing_reduced(call)
    return reduced(x, axes, _REDUCERS[call.operator](x, axes), keep)


def _nothing_reduced(call: Call) -> Masked:
    """Each entry by itself."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "ReduceL1": torch.abs,
        "ReduceL2": torch.abs,
        "ReduceLogSum": torch.log,
        "ReduceSumSquare": torch.square,
    }
    function = functions.get(call.operator)
    return call[0] if function is None else elementwise(function, call[0], safe=1)


@operator("ArgMax", "ArgMin")
def _arg(call: Call) -> Masked:
    x = call[0]
    axis = call.attribute("axis", 0) % x.value.ndim
    keep = bool(call.attribute("keepdims", 1))
    demand_whole(x, [axis], "whose positions are told")
    value = x.value
    function = torch.argmax if call.operator == "ArgMax" else torch.argmin
    if call.attribute("select_last_index", 0):
        index = value.shape[axis] - 1 - function(value.flip(axis), axis, keepdim=True)
    else:
        index = function(value, axis, keepdim=True)
    return reduced(x, [axis], index, keep)


@operator("CumSum", "CumProd")
def _cumulative(call: Call) -> Masked:
    x = call[0]
    axis = int(call.setting(1)) % x.value.ndim
    neutral = int(call.operator == "CumProd")
    value = fill(x.value, x.levels, neutral) if x.varies([axis]) else x.value
    value = value.flip(axis) if call.attribute("reverse", 0) else value
    if call.attribute("exclusive", 0):
        first = torch.full_like(value.narrow(axis, 0, 1), neutral)
        value = torch.cat([first, value.narrow(axis, 0, x.shape[axis] - 1)], axis)
    function = torch.cumprod if neutral else torch.cumsum
    total = function(value, axis, dtype=value.dtype)
    total = total.flip(axis) if call.attribute("reverse", 0) else total
    return Masked(fill(total, x.levels), x.levels, x.born - {axis})


@operator("Det")
def _determinant(call: Call) -> Masked:
    x = call[0]
    axes = [x.value.ndim - 2, x.value.ndim - 1]
    demand_whole(x, axes, "of which all entries count")
    value = torch.linalg.det(x.value)[..., None, None]
    return reduced(x, axes, value, keep=False)
