"""onnxruntime's normalisations, into which a sum, an embedding or an activation is fused."""

from __future__ import annotations

import torch

from onnxprune.torch.masked import Masked, elementwise, fill
from onnxprune.torch.operators.fused import channels_first, channels_last, run, total
from onnxprune.torch.operators.normalization import rms_normalization
from onnxprune.torch.operators.reduction import lowest
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape


@operator("SimplifiedLayerNormalization")
def _simplified(call: Call) -> list[Masked]:
    return rms_normalization(call, call[0], call[1])


@operator("com.microsoft::SkipLayerNormalization")
def _skip(call: Call) -> list[Masked]:
    x = total(call[0], call[1], call.optional(4))
    epsilon = call.attribute("epsilon", 1e-12)
    results = run("LayerNormalization", x, call[2], call.optional(3), epsilon=epsilon, outputs=3)
    return [*results, x]


@operator("com.microsoft::SkipSimplifiedLayerNormalization")
def _skip_simplified(call: Call) -> list[Masked]:
    x = total(call[0], call[1], call.optional(3))
    result, inverse = rms_normalization(call, x, call[2], epsilon=1e-12)
    none = Masked(torch.zeros_like(inverse.value), inverse.levels, inverse.born)
    return [result, none, inverse, x]


@operator("com.microsoft::EmbedLayerNormalization")
def _embed(call: Call) -> list[Masked]:
    words, mask, places = call[0], call.optional(7), call.optional(8)
    if places is None:
        size = words.shape[1]
        places = Masked(torch.arange(size).expand(words.shape))
    picked = [(call[2], words), (call[3], places)]
    if call.optional(1) is not None:
        picked.append((call[4], call[1]))
    x = total(*(run("Gather", table, rows)[0] for table, rows in picked))
    epsilon = call.attribute("epsilon", 1e-12)
    [result, *_] = run("LayerNormalization", x, call[5], call[6], epsilon=epsilon)
    counts = torch.zeros(words.shape[0], dtype=torch.int32)
    if mask is not None:
        counts = (mask.value == 1).sum(1).to(torch.int32)
    return [result, Masked(counts), x]


@operator("com.microsoft::GroupNorm", "com.microsoft::SkipGroupNorm")
def _group_norm(call: Call) -> list[Masked]:
    last = call.attribute("channels_last", 1)
    x, rank = call[0], call.tensor(0).ndim
    skip, bias = call.optional(3), call.optional(4)
    if skip is not None and skip.value.ndim == 2:
        skip = _spread(skip, rank, last)
    if bias is not None:
        bias = _spread(reshape(bias, [1, -1]), rank, last)
    added = total(x, skip, bias)
    image = channels_first(added) if last else added
    epsilon, groups = call.attribute("epsilon", 1e-5), call.attribute("groups")
    [result] = run(
        "GroupNormalization", image, call[1], call[2], epsilon=epsilon, num_groups=groups
    )
    result = channels_last(result) if last else result
    if call.attribute("activation", 0):
        result = elementwise(lambda x: x * torch.sigmoid(x), result)
    return [result, added]


def _spread(x: Masked, rank: int, last: int) -> Masked:
    """Numbers for each channel of each image, as they are added to images."""
    ones = [1] * (rank - 2)
    n, c = x.shape
    return reshape(x, [n, *ones, c] if last else [n, c, *ones])


@operator("ai.onnx.ml::Normalizer")
def _normalizer(call: Call) -> Masked:
    x, kind = call[0], call.attribute("norm", "MAX")
    axis = x.value.ndim - 1
    if kind == "MAX":
        size = fill(x.value, x.levels, lowest(x.value.dtype)).amax(axis, keepdim=True)
    else:
        size = x.value.norm(1 if kind == "L1" else 2, axis, keepdim=True)
    value = torch.where(size == 0, x.value, x.value / size)
    return Masked(fill(value, x.levels), x.levels, x.born - {axis})
