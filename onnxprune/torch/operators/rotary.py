"""Rotary embeddings as onnxruntime defines them; ONNX's own run as their function body."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.operators.joining import concat
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import permute, reshape, take

__all__ = ["heads", "merged", "rotated"]


def heads(x: Masked, count: int) -> Masked:
    """(batch, positions, hidden) as (batch, heads, positions, size)."""
    batch, length, hidden = x.shape
    return permute(reshape(x, [batch, length, count, hidden // count]), [0, 2, 1, 3])


def merged(x: Masked) -> Masked:
    """(batch, heads, positions, size) as (batch, positions, hidden)."""
    batch, count, length, size = x.shape
    return reshape(permute(x, [0, 2, 1, 3]), [batch, length, count * size])


def rotated(x: Masked, cos: Masked, sin: Masked, interleaved: bool) -> Masked:
    """Every pair of channels turned by its angle.

    Args:
        x: (batch, heads, positions, size).
        cos: (batch, positions, pairs) the cosines; channels beyond all pairs are not turned.
        sin: The sines.
        interleaved: Whether pairs are neighbours, else they are in two halves.
    """
    size, pairs = x.shape[3], cos.shape[2]
    numbers = torch.arange(2 * pairs)
    first, second = (numbers[0::2], numbers[1::2]) if interleaved else numbers.chunk(2)
    real, imaginary = take(x, 3, first), take(x, 3, second)
    angles = [reshape(a, [a.shape[0], 1, *a.shape[1:]]) for a in (cos, sin)]
    parts = [
        elementwise(lambda c, s, a, b: c * a - s * b, *angles, real, imaginary),
        elementwise(lambda c, s, a, b: s * a + c * b, *angles, real, imaginary),
    ]
    places = [first, second]
    if 2 * pairs < size:
        places.append(torch.arange(2 * pairs, size))
        parts.append(take(x, 3, places[-1]))
    return take(concat(parts, 3), 3, torch.argsort(torch.cat(places)))


@operator("com.microsoft::RotaryEmbedding")
def _rotary(call: Call) -> Masked:
    if call.attribute("is_packed_batching", 0):
        raise call.refuse("a packed batch")
    x, places, cos, sin = call[0], call.setting(1), call[2], call[3]
    batch, length = (x.shape[0], x.shape[-2])
    if places.ndim == 1:
        places = places + torch.arange(length).expand(batch, length)
    return _turned(call, x, take(cos, 0, places), take(sin, 0, places))


@operator("com.microsoft::MRotaryEmbedding")
def _sectioned_rotary(call: Call) -> Masked:
    if call.attribute("is_packed_batching", 0):
        raise call.refuse("a packed batch")
    x, places = call[0], call.setting(1)
    sections = call.attribute("mrope_section")
    pairs = call[2].shape[1]
    which = torch.zeros(pairs, dtype=torch.int64)
    if call.attribute("mrope_layout", 0):
        for stream in (1, 2):
            which[stream : 3 * sections[stream] : 3] = stream
    else:
        which = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))
    cos, sin = (_sectioned(call[i], places, which) for i in (2, 3))
    return _turned(call, x, cos, sin)


def _sectioned(cache: Masked, places: Tensor, which: Tensor) -> Masked:
    """Each pair takes its angle at the place that its section tells."""
    parts = [take(cache, 0, stream) for stream in places]
    chosen = torch.stack([x.value for x in parts])[which, :, :, torch.arange(len(which))]
    return Masked(chosen.permute(1, 2, 0), parts[0].levels)


def _turned(call: Call, x: Masked, cos: Masked, sin: Masked) -> Masked:
    interleaved = bool(call.attribute("interleaved", 0))
    if x.value.ndim == 4:
        return rotated(x, cos, sin, interleaved)
    part = call.attribute("rotary_embedding_dim", 0)
    size = 0 if part else 2 * cos.shape[2]
    count = call.attribute("num_heads", 0) or x.shape[2] // size
    return merged(rotated(heads(x, count), cos, sin, interleaved))
