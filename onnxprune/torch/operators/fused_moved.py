"""onnxruntime's own operators that move entries, or look at images."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from onnxprune.torch.masked import Masked, contract, fill
from onnxprune.torch.operators.fused import channels_first, channels_last, run
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape, whole


@operator(
    *("com.microsoft::GatherND", "com.microsoft::GridSample", "com.microsoft::Range"),
    "com.microsoft::Trilu",
)
def _same(call: Call) -> Masked:
    return run(call.operator, *call.inputs, **call.attributes)[0]


@operator("com.microsoft::NhwcMaxPool")
def _channels_last_pool(call: Call) -> Masked:
    return channels_last(run("MaxPool", channels_first(call[0]), **call.attributes)[0])


@operator("com.microsoft::ExpandDims")
def _expand_dims(call: Call) -> Masked:
    x, place = call[0], int(call.setting(1))
    sizes = list(x.shape)
    sizes.insert(place % (len(sizes) + 1), 1)
    return reshape(x, sizes)


@operator("com.microsoft::Pad")
def _pad(call: Call) -> Masked:
    amounts, number = reshape(call[1], [-1]), call.optional(2)
    return run("Pad", call[0], amounts, number, **call.attributes)[0]


@operator("com.microsoft::Inverse")
def _inverse(call: Call) -> Masked:
    rank = call.tensor(0).ndim
    x = whole(call[0], [rank - 2, rank - 1], "of which an inverse needs every entry")
    return Masked(fill(torch.linalg.inv_ex(x.value).inverse, x.levels), x.levels, x.born)


@operator("com.microsoft::CDist")
def _distances(call: Call) -> Masked:
    a, b = call[0], call[1]
    levels = contract(("yk", a.marks), ("zk", b.marks), "yz")
    distance = torch.cdist(a.value, b.value)
    if call.attribute("metric", "sqeuclidean") == "sqeuclidean":
        distance = distance.square()
    return Masked(fill(distance, levels), levels)


@operator("com.microsoft::CropAndResize")
def _crop_and_resize(call: Call) -> Masked:
    """Each region is read at as many points as it is to have, from corner to corner."""
    x = whole(call[0], [0, 2, 3], "of which regions need every entry")
    boxes, images = call.setting(1), call.setting(2).to(torch.int64)
    high, wide = (int(size) for size in call.setting(3))
    ys, xs = (
        _points(boxes[:, axis], boxes[:, axis + 2], count, size)
        for axis, count, size in ((0, high, x.shape[2]), (1, wide, x.shape[3]))
    )
    outside = [(at < 0) | (at > 1) for at in (ys, xs)]
    if call.attribute("mode", "bilinear") == "nearest":
        ys, xs = (
            torch.floor(at * (size - 1) + 0.5) / max(size - 1, 1)
            for at, size in ((ys, x.shape[2]), (xs, x.shape[3]))
        )
    spread = ys[:, :, None].expand(-1, -1, wide), xs[:, None, :].expand(-1, high, -1)
    grid = 2 * torch.stack(spread[::-1], -1) - 1
    value = F.grid_sample(x.value[images], grid, align_corners=True)
    gone = outside[0][:, None, :, None] | outside[1][:, None, None, :]
    value = torch.where(gone, call.attribute("extrapolation_value", 0.0), value)
    levels = None if x.levels is None else x.levels.narrow(0, 0, 1)
    return Masked(fill(value, levels), levels)


def _points(start: torch.Tensor, end: torch.Tensor, count: int, size: int) -> torch.Tensor:
    """Where each region is read along one axis, from 0 to 1; in the middle if once."""
    if count == 1:
        return (start + end)[:, None] / 2
    return start[:, None] + (end - start)[:, None] * torch.arange(count) / (count - 1)


@operator("Crop")
def _crop(call: Call) -> Masked:
    """Cut off a border: left, top, right and bottom; or take a size from the upper left."""
    x = whole(call[0], [2, 3], "of which it cuts off a part")
    left, top, right, bottom = call.attribute("border")
    size = call.attribute("scale")
    high, wide = x.shape[2] - bottom, x.shape[3] - right
    if size is not None:
        high, wide = top + size[0], left + size[1]
    return Masked(x.value[:, :, top:high, left:wide], x.levels, x.born)
