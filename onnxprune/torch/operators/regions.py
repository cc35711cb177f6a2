"""GridSample and pooling over regions of interest: feature maps read at places that are given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.interpolation import neighbours
from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole, whole

_POINTS_AT_ONCE = 1 << 16  # bounds the memory of RoiAlign


def _feature_map(call: Call, places: int) -> Masked:
    """The first argument; the next ones say where it is read, and must be all there."""
    for position in range(1, places + 1):
        given = call[position]
        demand_whole(given, range(given.value.ndim), "which say where to read", position)
    x = call[0]
    return whole(x, [0, *range(2, x.value.ndim)], "which are read anywhere", 0)


@operator("GridSample")
def _grid_sample(call: Call) -> Masked:
    x, grid = _feature_map(call, 1), call.tensor(1)
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(name := call.attribute("mode", ""), name)
    if x.value.ndim not in (4, 5):
        raise call.refuse(f"{x.value.ndim - 2} spatial axes")
    value = F.grid_sample(
        x.value,
        grid.to(x.value.dtype),
        mode or "bilinear",
        call.attribute("padding_mode", "zeros"),
        bool(call.attribute("align_corners", 0)),
    )
    return Masked(value, x.levels, x.born & {1})


@operator("RoiAlign")
def _roi_align(call: Call) -> Masked:
    x, regions, images = _feature_map(call, 2), call.tensor(1), call.tensor(2)
    height, width = call.attribute("output_height", 1), call.attribute("output_width", 1)
    before = "output_half_pixel" if call.opset < 16 else "half_pixel"
    half_pixel = call.attribute("coordinate_transformation_mode", before) == "half_pixel"
    corners = regions * call.attribute("spatial_scale", 1.0) - (0.5 if half_pixel else 0.0)
    starts, sizes = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not half_pixel:
        sizes = sizes.clamp(min=1)
    bins = sizes / sizes.new_tensor([width, height])
    ratio = call.attribute("sampling_ratio", 0)
    grids = torch.full_like(bins, ratio) if ratio else bins.ceil().clamp(min=0)
    value = x.value.new_zeros(len(regions), x.shape[1], height, width)
    largest = call.attribute("mode", "avg") == "max"
    for where, grid in _alike(torch.cat([images[:, None].to(grids.dtype), grids], 1)):
        image, across, down = (int(n) for n in grid)
        if not across * down:
            continue
        rows, columns = (
            _points(starts[where, i], bins[where, i], count, samples)
            for i, count, samples in ((1, height, down), (0, width, across))
        )
        most = max(_POINTS_AT_ONCE // (height * width * across * down), 1)
        for part in torch.split(torch.arange(len(where)), most):
            pooled = _pooled(x.value[image], rows[part], columns[part], largest)
            value[where[part]] = pooled.to(value.dtype)
    return Masked(value, x.levels, x.born & {1})


def _alike(rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Which rows are equal, and what they are."""
    kinds, kind = torch.unique(rows, dim=0, return_inverse=True)
    for number, row in enumerate(kinds):
        yield (kind == number).nonzero().flatten(), row


def _points(start: Tensor, size: Tensor, bins: int, samples: int) -> Tensor:
    """Where the samples of each bin lie along one axis, (regions, bins, samples)."""
    bin_start = start[:, None, None] + torch.arange(bins)[:, None] * size[:, None, None]
    return bin_start + (torch.arange(samples) + 0.5) * size[:, None, None] / samples


def _pooled(image: Tensor, rows: Tensor, columns: Tensor, largest: bool) -> Tensor:
    """The mean or maximum of samples, (regions, c, bins, bins); further than 1 outside is 0."""
    height, width = image.shape[1:]
    regions, down, samples_down = rows.shape
    _, across, samples_across = columns.shape
    grid = (regions, down, samples_down, across, samples_across)
    y, x = (v.expand(grid).flatten() for v in (rows[..., None, None], columns[:, None, None]))
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1)[None], x.clamp(0, width - 1)[None]
    parts = [pixels * (weight * inside) for pixels, weight in neighbours(image[None], y, x)]
    samples = (reduce(torch.maximum, parts) if largest else sum(parts, torch.zeros(()))).reshape(
        -1, *grid
    )
    pooled = samples.amax((3, 5)) if largest else samples.mean((3, 5))
    return pooled.transpose(0, 1)


@operator("MaxRoiPool")
def _max_roi_pool(call: Call) -> Masked:
    x, regions = _feature_map(call, 1), call.tensor(1)
    height, width = call.attribute("pooled_shape")
    scaled = regions[:, 1:] * call.attribute("spatial_scale", 1.0)
    corners = (scaled.sign() * (scaled.abs() + 0.5).floor()).to(torch.int64)
    value = x.value.new_zeros(len(regions), x.shape[1], height, width)
    for number, (left, top, right, bottom) in enumerate(corners.tolist()):
        image = x.value[int(regions[number, 0])]
        rows = _bins(top, bottom, height, image.shape[1])
        columns = _bins(left, right, width, image.shape[2])
        for i, (low, high) in enumerate(rows):
            for j, (first, last) in enumerate(columns):
                if low < high and first < last:
                    value[number, :, i, j] = image[:, low:high, first:last].amax((1, 2))
    return Masked(value, x.levels, x.born & {1})


def _bins(start: int, end: int, count: int, size: int) -> list[tuple[int, int]]:
    """From where to where each bin of a region reaches along one axis."""
    length = max(end - start + 1, 1)
    return [
        (
            min(max(start + i * length // count, 0), size),
            min(max(start - (-(i + 1) * length // count), 0), size),
        )
        for i in range(count)
    ]
