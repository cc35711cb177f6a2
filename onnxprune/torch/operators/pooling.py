"""Pooling over windows and over everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.masked import MISSING, Masked, count_present, fill
from onnxprune.torch.operators.reduction import lowest, reduced
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import whole
from onnxprune.torch.windows import Windows

_MAXIMUM: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _windows(call: Call) -> tuple[Masked, Windows]:
    """The feature map, and the windows that slide over it."""
    x = whole(call[0], range(2, call.tensor(0).ndim), "over which windows slide")
    return x, Windows.of(call, x.shape[2:], call.attribute("kernel_shape"))


def _pooled(x: Masked, value: Tensor) -> Masked:
    born = frozenset(a for a in x.born if a < 2)
    return Masked(value, x.levels, born)


@operator("MaxPool")
def _max_pool(call: Call) -> list[Masked]:
    x, windows = _windows(call)
    rank = x.value.ndim - 2
    if rank not in _MAXIMUM:
        raise call.refuse(f"{rank} spatial axes")
    dtype = x.value.dtype
    value = x.value if dtype.is_floating_point else x.value.float()
    even = windows.before == windows.after and not any(windows.extra)
    if even and all(2 * p <= k for p, k in zip(windows.before, windows.kernel, strict=True)):
        before, padding = [0] * rank, list(windows.before)
    else:
        before, padding = list(windows.before), [0] * rank
        value = windows.pad(value, float("-inf"))
    shape, wanted = value.shape[2:], call.outputs > 1
    answer = _MAXIMUM[rank](
        value, windows.kernel, windows.strides, padding, windows.dilations, return_indices=wanted
    )
    if not wanted:
        return [_pooled(x, answer.to(dtype))]
    value, index = answer
    space = [
        position - low
        for position, low in zip(torch.unravel_index(index, shape), before, strict=True)
    ]
    place = _place(space, x.shape[2:], bool(call.attribute("storage_order", 0)))
    place = place + row_numbers(x).reshape(*x.shape[:2], *[1] * rank) * x.shape[2:].numel()
    return [_pooled(x, value.to(dtype)), _pooled(x, fill(place, x.levels))]


def _place(space: Sequence[Tensor], shape: Sequence[int], column_major: bool) -> Tensor:
    """The number of an entry among those of its channel."""
    axes = list(zip(space, shape, strict=True))
    place = torch.zeros_like(space[0])
    for position, size in axes[::-1] if column_major else axes:
        place = place * size + position
    return place


def row_numbers(x: Masked) -> Tensor:
    """The number of each channel of each image among those that are present, (n, c)."""
    n, c = x.shape[:2]
    if x.levels is None:
        return torch.arange(n * c).reshape(n, c)
    present = (x.levels.flatten(2).amax(2) != MISSING).expand(n, c)
    return (present.flatten().cumsum(0) - 1).clamp(min=0).reshape(n, c)


@operator("AveragePool")
def _average_pool(call: Call) -> Masked:
    x, windows = _windows(call)
    rank = x.value.ndim - 2
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.value.dtype)
    if call.attribute("count_include_pad", 0):
        ones = windows.pad_extra(torch.ones_like(windows.pad(ones, 0, extra=False)), 0)
    else:
        ones = windows.pad(ones, 0)
    padded = windows.pad(x.value, 0)

    def average(values: Tensor) -> Tensor:
        if rank in _AVERAGE and all(d == 1 for d in windows.dilations):
            return _AVERAGE[rank](values, windows.kernel, windows.strides)
        return torch.stack(list(windows.entries(values))).mean(0)

    value = average(padded)
    share = average(ones)
    return _pooled(x, value if bool((share == 1).all()) else value / share)


@operator("LpPool")
def _lp_pool(call: Call) -> Masked:
    x, windows = _windows(call)
    p = call.attribute("p", 2)
    padded = windows.pad(x.value, 0)
    total = sum(entry.abs() ** p for entry in windows.entries(padded))
    assert isinstance(total, Tensor)
    return _pooled(x, total ** (1.0 / p))


@operator("GlobalAveragePool")
def _global_average_pool(call: Call) -> Masked:
    x = call[0]
    axes = range(2, x.value.ndim)
    if not x.varies(axes):
        return reduced(x, axes, x.value.mean(tuple(axes), keepdim=True))
    return reduced(x, axes, x.value.sum(tuple(axes), keepdim=True) / count_present(x, axes))


@operator("GlobalMaxPool")
def _global_max_pool(call: Call) -> Masked:
    x = call[0]
    axes = tuple(range(2, x.value.ndim))
    return reduced(x, axes, fill(x.value, x.levels, lowest(x.value.dtype)).amax(axes, keepdim=True))


@operator("GlobalLpPool")
def _global_lp_pool(call: Call) -> Masked:
    x, p = call[0], call.attribute("p", 2)
    axes = tuple(range(2, x.value.ndim))
    return reduced(x, axes, (x.value.abs() ** p).sum(axes, keepdim=True) ** (1.0 / p))
