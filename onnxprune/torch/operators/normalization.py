"""Normalisations; statistics are taken over what is present."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.masked import (
    MISSING,
    Masked,
    combine,
    count_present,
    elementwise,
    fill,
    levels_of,
)
from onnxprune.torch.operators.reduction import reduced
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole, reshape


def _moments(x: Masked, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance over what is present."""
    count = count_present(x, axes)
    mean = x.value.sum(tuple(axes), keepdim=True) / count
    centred = x.value - mean
    if x.varies(axes):
        centred = fill(centred, x.levels)
    return mean, (centred * centred).sum(tuple(axes), keepdim=True) / count


def _standardised(x: Masked, axes: Sequence[int], epsilon: float) -> Masked:
    mean, variance = _moments(x, axes)
    value = (x.value - mean) * torch.rsqrt(variance + epsilon)
    return Masked(fill(value, x.levels), x.levels, x.born - set(axes))


def _affine(x: Masked, scale: Masked, shift: Masked | None) -> Masked:
    x = elementwise(torch.mul, x, scale, absorbs=True)
    return x if shift is None else elementwise(torch.add, x, shift)


def _channelwise(x: Masked, rank: int) -> Masked:
    """A vector over channels, as it is broadcast to a feature map."""
    return reshape(x, [x.value.numel(), *[1] * (rank - 2)])


@operator("BatchNormalization")
def _batch_normalization(call: Call) -> Masked:
    if call.attribute("training_mode", 0):
        raise call.refuse("training mode")
    if not call.attribute("spatial", 1):
        raise call.refuse("statistics per position")
    x, scale, shift, mean, variance = (call[i] for i in range(5))
    epsilon = call.attribute("epsilon", 1e-5)
    vectors = (scale, shift, mean, variance)
    levels, born = x.levels, x.born - {1}
    if levels is not None or any(v.levels is not None for v in vectors):
        levels, _ = combine([x, *(_channelwise(v, x.value.ndim) for v in vectors)])
    if any(v.value.dtype != x.value.dtype for v in vectors) or x.value.ndim < 2:
        scale, shift, mean, variance = (_channelwise(v, x.value.ndim) for v in vectors)
        deviation = torch.sqrt(variance.value + epsilon)
        value = (x.value - mean.value) / deviation * scale.value + shift.value
        return Masked(fill(value.to(x.value.dtype), levels), levels, born)
    value = F.batch_norm(
        x.value, mean.value, variance.value, scale.value, shift.value, False, 0.0, epsilon
    )
    if x.varies([0, *range(2, x.value.ndim)]):
        value = fill(value, levels)
    return Masked(value, levels, born)


@operator("InstanceNormalization")
def _instance_normalization(call: Call) -> Masked:
    x, rank = call[0], call.tensor(0).ndim
    normal = _standardised(x, range(2, rank), call.attribute("epsilon", 1e-5))
    return _affine(normal, _channelwise(call[1], rank), _channelwise(call[2], rank))


@operator("GroupNormalization")
def _group_normalization(call: Call) -> Masked:
    x, groups = call[0], call.attribute("num_groups")
    n, c, *space = x.shape
    apart = reshape(x, [n, groups, c // groups, prod(space)])
    normal = _standardised(apart, [2, 3], call.attribute("epsilon", 1e-5))
    scale, shift = call[1], call[2]
    if call.opset < 21:  # one number per group
        wide = [reshape(v, [groups, 1, 1]) for v in (scale, shift)]
        return reshape(_affine(normal, *wide), x.shape)
    normal = reshape(normal, x.shape)
    return _affine(normal, _channelwise(scale, len(x.shape)), _channelwise(shift, len(x.shape)))


def _stashed(call: Call, x: Masked) -> tuple[Masked, torch.dtype]:
    """An operand in the type that statistics are taken in, and its own type."""
    dtype = torch.float32 if call.attribute("stash_type", 1) == 1 else x.value.dtype
    if x.value.dtype == torch.float64:
        dtype = torch.float64
    return Masked(x.value.to(dtype), x.levels, x.born), x.value.dtype


@operator("LayerNormalization")
def _layer_normalization(call: Call) -> list[Masked]:
    x, dtype = _stashed(call, call[0])
    axes = range(call.attribute("axis", -1) % x.value.ndim, x.value.ndim)
    epsilon = call.attribute("epsilon", 1e-5)
    mean, variance = _moments(x, axes)
    inverse = torch.rsqrt(variance + epsilon)
    normal = fill(((x.value - mean) * inverse).to(dtype), x.levels)
    result = _affine(Masked(normal, x.levels, x.born - set(axes)), call[1], call.optional(2))
    return [result, reduced(x, axes, mean), reduced(x, axes, inverse)]


@operator("RMSNormalization")
def _rms_normalization(call: Call) -> Masked:
    return rms_normalization(call, call[0], call[1])[0]


def rms_normalization(call: Call, x: Masked, scale: Masked, epsilon: float = 1e-5) -> list[Masked]:
    """An operand over the root of its mean square, scaled, and one over that root.

    Args:
        call: The node, whose attributes say along which axes and how.
        x: The operand.
        scale: The scale.
        epsilon: What is added to the mean square if the node does not say.
    """
    x, dtype = _stashed(call, x)
    axes = range(call.attribute("axis", -1) % x.value.ndim, x.value.ndim)
    square = (x.value * x.value).sum(tuple(axes), keepdim=True) / count_present(x, axes)
    inverse = torch.rsqrt(square + call.attribute("epsilon", epsilon))
    normal = Masked((x.value * inverse).to(dtype), x.levels, x.born - set(axes))
    return [_affine(normal, scale, None), reduced(x, axes, inverse)]


@operator("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call) -> Masked:
    x = call[0]
    axes = [a % x.value.ndim for a in call.attribute("axes", (0, 2, 3))]
    mean, variance = _moments(x, axes)
    value = (x.value - mean) / (torch.sqrt(variance) + 1e-9)
    return Masked(fill(value, x.levels), x.levels, x.born - set(axes))


@operator("LpNormalization")
def _lp_normalization(call: Call) -> Masked:
    x = call[0]
    axis = call.attribute("axis", -1) % x.value.ndim
    p = call.attribute("p", 2)
    norm = x.value.norm(p, axis, keepdim=True)
    value = torch.where(norm == 0, torch.zeros_like(x.value), x.value / norm)
    return Masked(value, x.levels, x.born - {axis})


@operator("LRN")
def _local_response_normalization(call: Call) -> Masked:
    """Neighbours are the next present channels, as they will be in a smaller model."""
    x, size = call[0], call.attribute("size")
    demand_whole(x, [0, *range(2, x.value.ndim)], "with other channels")
    others = [0, *range(2, x.value.ndim)]
    kept = (levels_of(x) != MISSING).amax(others).expand(x.shape[1])
    index = kept.nonzero().flatten()
    value = x.value.index_select(1, index)
    before, after = (size - 1) // 2, size // 2
    square = F.pad(value.square(), [*[0, 0] * (value.ndim - 2), before, after])
    total = sum(square.narrow(1, i, value.shape[1]) for i in range(size))
    alpha, beta = call.attribute("alpha", 1e-4), call.attribute("beta", 0.75)
    value = value / (call.attribute("bias", 1.0) + alpha / size * total) ** beta
    return Masked(torch.zeros_like(x.value).index_copy(1, index, value), x.levels, x.born - {1})
