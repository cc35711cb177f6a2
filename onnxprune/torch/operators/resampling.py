"""Resize and Upsample, one axis after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import whole


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis is resampled.

    Attributes:
        axis: Which.
        size: Its size before.
        result: Its size after.
        scale: How much larger it becomes.
        region: Which part is read, for tf_crop_and_resize; in shares of the axis.
    """

    axis: int
    size: int
    result: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    def coordinates(self, mode: str) -> np.ndarray:
        """Where each entry of the result lies on the original axis; in float32, as in runtimes."""
        x = np.arange(self.result, dtype=np.float32)
        last, scale = self.result - 1, np.float32(self.scale)
        if mode == "asymmetric":
            return x / scale
        if mode == "align_corners":
            return np.zeros_like(x) if last == 0 else x * (self.size - 1) / last
        if mode == "pytorch_half_pixel" and self.result == 1:
            return np.zeros_like(x)
        if mode == "half_pixel_symmetric":
            offset = self.size / 2 * (1 - self.result / (scale * self.size))
            return offset + (x + 0.5) / scale - 0.5
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        if mode == "tf_crop_and_resize":
            start, end = self.region
            if last == 0:
                return np.full_like(x, 0.5 * (start + end) * (self.size - 1))
            return start * (self.size - 1) + x * (end - start) * (self.size - 1) / last
        return (x + 0.5) / scale - 0.5


@dataclass(frozen=True, slots=True)
class _Manner:
    """How entries are mixed: the attributes of Resize."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    exclude_outside: bool
    antialias: bool
    outside: float | None

    def index(self, axis: _Axis) -> np.ndarray:
        """The nearest entries."""
        x = axis.coordinates(self.coordinates)
        if self.rounding in ("round_prefer_floor", "ceil"):
            rounded = np.ceil(x - 0.5 if self.rounding == "round_prefer_floor" else x)
        else:
            rounded = np.floor(x + 0.5 if self.rounding == "round_prefer_ceil" else x)
        return np.clip(rounded, 0, axis.size - 1).astype(np.int64)

    def weights(self, axis: _Axis) -> np.ndarray:
        """How much of each entry goes into each of the result, (result, size)."""
        x = axis.coordinates(self.coordinates)
        shrink = min(axis.scale, 1.0) if self.antialias else 1.0
        kernel = partial(_cubic, a=self.cubic) if self.mode == "cubic" else _linear
        reach = int(np.ceil((2 if self.mode == "cubic" else 1) / shrink))
        base = np.floor(x).astype(np.int64)
        weights = np.zeros((axis.result, axis.size))
        rows = np.arange(axis.result)
        for offset in range(1 - reach, reach + 1):
            where = base + offset
            share = kernel((where - x) * shrink)
            if self.exclude_outside:
                share = np.where((where < 0) | (where >= axis.size), 0, share)
            np.add.at(weights, (rows, np.clip(where, 0, axis.size - 1)), share)
        if self.exclude_outside or self.antialias:
            weights /= weights.sum(1, keepdims=True)
        return weights


def _linear(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(1 - np.abs(x), 0, None))


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@operator("Resize")
def _resize(call: Call) -> Masked:
    old = call.opset < 11
    manner = _Manner(
        call.attribute("mode", "nearest"),
        call.attribute("coordinate_transformation_mode", "asymmetric" if old else "half_pixel"),
        call.attribute("nearest_mode", "floor" if old else "round_prefer_floor"),
        call.attribute("cubic_coeff_a", -0.75),
        bool(call.attribute("exclude_outside", 0)),
        bool(call.attribute("antialias", 0)),
        None,
    )
    if manner.coordinates == "tf_crop_and_resize":
        number = call.attribute("extrapolation_value", 0.0)
        manner = replace(manner, outside=number)
    rank = call.tensor(0).ndim
    axes = call.attribute("axes")
    axes = list(range(rank)) if axes is None else [a % rank for a in axes]
    scales = call.numbers("scales", 1 if old else 2)
    sizes = None if scales else call.integers("sizes", 3)
    region = call.numbers("roi", 1) if not old else None
    plan = []
    shape = call.tensor(0).shape
    if sizes:
        scales, sizes = _fitted(call, [shape[a] for a in axes], sizes)
    for i, axis in enumerate(axes):
        scale = float((scales or [])[i])
        result = sizes[i] if sizes else int(np.floor(shape[axis] * scale))
        part = (region[i], region[i + len(axes)]) if region else (0.0, 1.0)
        plan.append(_Axis(axis, shape[axis], result, scale, part))
    return _resampled(call[0], plan, manner)


def _fitted(call: Call, before: list[int], sizes: list[int]) -> tuple[list[float], list[int]]:
    """Scales and sizes, the latter changed if the aspect ratio is to be kept."""
    scales = [size / n for size, n in zip(sizes, before, strict=True)]
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return scales, sizes
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [scale] * len(sizes), [int(n * scale + 0.5) for n in before]


@operator("Upsample")
def _upsample(call: Call) -> Masked:
    manner = _Manner(
        call.attribute("mode", "nearest"), "asymmetric", "floor", -0.75, False, False, None
    )
    shape = call.tensor(0).shape
    scales = call.numbers("scales", 1) or []
    plan = [_Axis(a, n, int(n * scales[a]), scales[a]) for a, n in enumerate(shape)]
    return _resampled(call[0], plan, manner)


def _resampled(x: Masked, plan: list[_Axis], manner: _Manner) -> Masked:
    plan = [a for a in plan if a.result != a.size or a.scale != 1 or manner.outside is not None]
    x = whole(x, [a.axis for a in plan], "which is resampled")
    value = x.value
    for axis in plan:
        if manner.mode == "nearest":
            value = value.index_select(axis.axis, torch.from_numpy(manner.index(axis)))
        else:
            value = _mixed(value, axis.axis, manner.weights(axis))
    if manner.outside is not None:
        for axis in plan:
            where = axis.coordinates(manner.coordinates)
            beyond = torch.from_numpy((where < 0) | (where > axis.size - 1))
            along = [-1 if a == axis.axis else 1 for a in range(value.ndim)]
            value = value.masked_fill(beyond.reshape(along), manner.outside)
    return Masked(value, x.levels, x.born)


def _mixed(value: Tensor, axis: int, weights: np.ndarray) -> Tensor:
    matrix = torch.from_numpy(weights).to(
        value.dtype if value.is_floating_point() else torch.float32
    )
    mixed = torch.matmul(value.movedim(axis, -1).to(matrix.dtype), matrix.T)
    return mixed.movedim(-1, axis).to(value.dtype)
