"""MaxUnpool and Col2Im: entries put back where windows took them from."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F

from onnxprune.torch.errors import Leak
from onnxprune.torch.masked import MISSING, Footprint, Masked, levels_of, meet, tidy
from onnxprune.torch.operators.pooling import row_numbers
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape, whole
from onnxprune.torch.windows import Windows


@operator("MaxUnpool")
def _max_unpool(call: Call) -> Masked:
    space = range(2, call.tensor(0).ndim)
    x, index = (whole(call[i], space, "which are moved about", i) for i in (0, 1))
    rank = len(space)
    pads = call.attribute("pads") or [0] * (2 * rank)
    strides = call.attribute("strides") or [1] * rank
    sizes = [
        (n - 1) * stride - low - high + k
        for n, stride, low, high, k in zip(
            x.shape[2:],
            strides,
            pads[:rank],
            pads[rank:],
            call.attribute("kernel_shape"),
            strict=True,
        )
    ]
    levels = tidy(meet([Footprint.of(v, x.shape) for v in (x, index)]))
    rows, room = prod(x.shape[:2]), prod(sizes)
    target = index.value.reshape(rows, -1)
    if levels is not None:  # they count the rows that are present only
        target = target - row_numbers(Masked(x.value, levels)).reshape(-1, 1) * room
        present = (levels != MISSING).expand(x.shape).reshape(rows, -1)
        if bool((present & ((target < 0) | (target >= room))).any()):
            raise Leak(1, "positions that lie in another channel")
        target = target.masked_fill(~present, 0) + torch.arange(rows)[:, None] * room
    flat = x.value.new_zeros(rows * room).scatter(0, target.flatten(), x.value.flatten())
    value = flat.reshape(*x.shape[:2], *sizes)
    shape = call.integers("output_shape", 2)
    if shape is not None:
        more = [n - size for n, size in zip(shape[2:], sizes, strict=True)]
        value = F.pad(value, [n for after in more[::-1] for n in (0, after)])
    return Masked(value, levels, x.born & index.born & {0, 1})


@operator("Col2Im")
def _col2im(call: Call) -> Masked:
    x = call[0]
    image, block = ([int(n) for n in call.setting(i)] for i in (1, 2))
    windows = Windows.of(call, image, block)
    n, rows, columns = x.shape
    apart = reshape(x, [n, rows // prod(block), prod(block), columns])
    apart = whole(apart, [2, 3], "of which windows are made")
    channels = apart.shape[1]
    value = x.value.new_zeros(n, channels, *image)
    padded = windows.pad(value, 0).clone()
    for view, entry in zip(windows.entries(padded), apart.value.unbind(2), strict=True):
        view += entry.reshape(view.shape)
    for axis, (before, size) in enumerate(zip(windows.before, image, strict=True)):
        padded = padded.narrow(axis + 2, before, size)
    levels = (
        None
        if apart.levels is None
        else levels_of(apart).reshape(*apart.levels.shape[:2], *[1] * len(image))
    )
    return Masked(padded, levels, apart.born & {0, 1})
