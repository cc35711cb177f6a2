"""DeformConv: a convolution that reads its windows' entries at shifted places."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from onnxprune.torch.interpolation import neighbours
from onnxprune.torch.masked import Masked
from onnxprune.torch.operators.convolution import summed_levels
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole
from onnxprune.torch.windows import Windows


@operator("DeformConv")
def _deformable(call: Call) -> Masked:
    x, w, offset, bias, mask = call[0], call[1], call[2], call.optional(3), call.optional(4)
    if x.value.ndim != 4:
        raise call.refuse(f"{x.value.ndim - 2} spatial axes")
    for position, given in ((2, offset), (4, mask)):
        if given is not None:
            demand_whole(given, range(4), "which say where to read", position)
    groups, shifts = call.attribute("group", 1), call.attribute("offset_group", 1)
    levels = summed_levels(x, w, groups, "goc", bias)
    windows = Windows.of(call, x.shape[2:], w.shape[2:])
    n, c, height, width = x.shape
    out = offset.shape[2:]
    kernel = w.shape[2:].numel()
    image = x.value.reshape(n * shifts, c // shifts, height, width)
    places = _places(windows, out).to(offset.value.dtype)
    places = places + offset.value.reshape(n, shifts, kernel, 2, *out)
    rows, columns = (v.reshape(n * shifts, -1) for v in places.unbind(3))
    read = sum((p * weight for p, weight in neighbours(image, rows, columns)), torch.zeros(()))
    read = read.reshape(n, shifts, c // shifts, kernel, -1)
    if mask is not None:
        read = read * mask.value.reshape(n, shifts, 1, kernel, -1)
    read = read.reshape(n, groups, c // groups * kernel, -1)
    value = torch.matmul(w.value.reshape(groups, w.shape[0] // groups, -1), read)
    value = value.reshape(n, w.shape[0], *out)
    if bias is not None:
        value = value + bias.value.reshape(-1, 1, 1)
    return Masked(value, levels)


def _places(windows: Windows, out: torch.Size) -> Tensor:
    """Where each entry of each window lies, (kernel, row and column, *out)."""
    starts = [
        torch.arange(size) * stride - before
        for size, stride, before in zip(out, windows.strides, windows.before, strict=True)
    ]
    corners = torch.stack(torch.meshgrid(*starts, indexing="ij"))
    inside = torch.tensor(list(product(*map(range, windows.kernel))))
    return corners + (inside * torch.tensor(windows.dilations))[:, :, None, None]
