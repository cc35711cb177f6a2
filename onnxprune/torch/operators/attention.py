"""Attention as onnxruntime defines it; ONNX's own runs as its function body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.operators.contraction import matmul
from onnxprune.torch.operators.joining import concat, stack
from onnxprune.torch.operators.rotary import heads, merged, rotated
from onnxprune.torch.registry import Call, find, operator
from onnxprune.torch.structure import permute, reshape, take

_LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class _Scores:
    """How queries and keys make weights.

    Attributes:
        scale: What their products are multiplied with.
        softcap: What bounds them, 0 for no bound.
        biases: What is added, each broadcast to (batch, heads, queries, keys).
        sink: (heads) scores of a key without a value, None for none.
    """

    scale: float
    softcap: float = 0
    biases: Sequence[Masked] = ()
    sink: Masked | None = None

    def __call__(self, query: Masked, key: Masked) -> tuple[Masked, Masked]:
        """The scores and the weights of (batch, groups, heads in a group, positions, size)."""
        scores = matmul(query, permute(key, [0, 1, 2, 4, 3]))
        scores = elementwise(lambda x: x * self.scale, scores)
        if self.softcap:
            scores = elementwise(lambda x: self.softcap * torch.tanh(x / self.softcap), scores)
        for bias in self.biases:
            batch, count, *positions = bias.shape
            groups = list(scores.shape[1:3]) if count > 1 else [1, 1]
            bias = reshape(bias, [batch, *groups, *positions])
            scores = elementwise(lambda x, b: x + b.to(x.dtype), scores, bias)
        return scores, self._weights(scores)

    def _weights(self, scores: Masked) -> Masked:
        if self.sink is None:
            return _softmax(scores)
        sink = reshape(self.sink, [1, *scores.shape[1:3], 1, 1])
        batch, _, _, queries, _ = scores.shape
        alone = elementwise(torch.add, sink, Masked(torch.zeros(batch, 1, 1, queries, 1)))
        weights = _softmax(concat([scores, alone], 4))
        return take(weights, 4, torch.arange(scores.shape[4]))


def _softmax(x: Masked) -> Masked:
    handler = find("", "Softmax")
    assert handler is not None
    result = handler(Call("Softmax", 13, [x], {"axis": -1}))
    assert isinstance(result, Masked)
    return result


def _attend(query: Masked, key: Masked, value: Masked, scores: _Scores) -> tuple[Masked, ...]:
    """(batch, heads, positions, size): what heads of queries gather, their scores and weights."""
    batch, count, length, size = query.shape
    groups = key.shape[1]
    query = reshape(query, [batch, groups, count // groups, length, size])
    key, value = (reshape(x, [batch, groups, 1, *x.shape[2:]]) for x in (key, value))
    found, weights = scores(query, key)
    gathered = matmul(weights, value)
    return tuple(reshape(x, [batch, count, *x.shape[3:]]) for x in (gathered, found, weights))


def _scale(call: Call, query: Masked) -> float:
    return float(call.attribute("scale", 0.0) or 1 / math.sqrt(query.shape[-1]))


def _masked(seen: Tensor, call: Call) -> Masked:
    """The bias of a mask, which is the number that its attribute tells where it is 0."""
    number = call.attribute("mask_filter_value", -10000.0)
    return Masked(torch.where(seen.bool(), 0.0, number))


def _padding(call: Call, i: int, batch: int, keys: int) -> list[Masked]:
    """The bias of a mask in any of its forms: ends, ends and starts, keys, queries and keys."""
    mask = call.optional_setting(i)
    if mask is None:
        return []
    if mask.ndim == 1:
        places = torch.arange(keys)
        seen = places < mask[:batch, None]
        if len(mask) == 2 * batch:
            seen &= places >= mask[batch:, None]
        return [_masked(seen[:, None, None], call)]
    return [_masked(mask[:, None, None] if mask.ndim == 2 else mask[:, None], call)]


def _biases(call: Call, query: Masked, keys: int, past: Masked | None, mask: int) -> list[Masked]:
    """All that is added to scores; `mask` is the input of the mask."""
    biases = _padding(call, mask, query.shape[0], keys)
    bias = call.optional(5)
    if bias is not None:
        biases.append(bias)
    if call.attribute("unidirectional", 0):
        queries, seen = query.shape[2], 0 if past is None else past.shape[-2]
        if keys != seen + queries:
            raise call.refuse("an order of queries and of other keys")
        later = torch.ones(queries, keys).triu(seen + 1).bool()
        biases.append(Masked(torch.where(later, _LOWEST, 0.0)[None, None]))
    return biases


def _projected(x: Masked, bias: Masked | None) -> Masked:
    return x if bias is None else elementwise(torch.add, x, bias)


def _parts(x: Masked, widths: Sequence[int]) -> list[Masked]:
    """The last axis in parts."""
    numbers = torch.split(torch.arange(sum(widths)), list(widths))
    return [take(x, x.value.ndim - 1, part) for part in numbers]


@operator("com.microsoft::Attention")
def _attention(call: Call) -> list[Masked]:
    if call.attribute("do_rotary", 0) or call.attribute("past_present_share_buffer", 0):
        raise call.refuse("rotary embeddings, or a buffer that steps share")
    count, past = call.attribute("num_heads"), call.optional(4)
    product = _projected(matmul(call[0], call[1]), call.optional(2))
    widths = call.attribute("qkv_hidden_sizes") or [product.shape[2] // 3] * 3
    query, key, value = (heads(x, count) for x in _parts(product, widths))
    if past is not None:
        old = [reshape(take(past, 0, torch.tensor([i])), past.shape[1:]) for i in range(2)]
        key, value = (concat(pair, 2) for pair in zip(old, (key, value), strict=True))
    biases = _biases(call, query, key.shape[2], past, 3)
    result, _, _ = _attend(query, key, value, _Scores(_scale(call, query), 0, biases))
    present = [stack([key, value])] if call.outputs > 1 else []
    return [merged(result), *present]


@operator("com.microsoft::MultiHeadAttention")
def _multi_head_attention(call: Call) -> list[Masked]:
    if call.optional(8) is not None or call.optional(9) is not None:
        raise call.refuse("a buffer that steps share")
    if call.optional(1) is None or call[1].value.ndim == 5:
        raise call.refuse("its packed form")
    count = call.attribute("num_heads")
    query, key, value, bias = call[0], call[1], call[2], call.optional(3)
    cached = key.value.ndim == 4
    if bias is not None:
        width = query.shape[2]
        parts = _parts(bias, [width, width, bias.shape[0] - 2 * width])
        query = _projected(query, parts[0])
        if not cached:
            key, value = _projected(key, parts[1]), _projected(value, parts[2])
    query = heads(query, count)
    if not cached:
        key, value = heads(key, count), heads(value, count)
    if call.optional(6) is not None:
        key, value = concat([call[6], key], 2), concat([call[7], value], 2)
    biases = _biases(call, query, key.shape[2], call.optional(6), 4)
    scores = _Scores(_scale(call, query), 0, biases)
    result, _, weights = _attend(query, key, value, scores)
    return [merged(result), key, value, weights][: call.outputs]


@operator("com.microsoft::DecoderMaskedMultiHeadAttention")
def _decoder_masked_attention(call: Call) -> list[Masked]:
    if call.optional(1) is None or call.optional(9) is not None or call.outputs > 3:
        raise call.refuse("its packed form, beams or scores")
    count, bias = call.attribute("num_heads"), call.optional(10)
    parts = [call[0], call[1], call[2]]
    if bias is not None:
        shifts = _parts(bias, [call[0].shape[2]] * 3)
        parts = [
            _projected(x, b) if x.value.ndim == 3 else x for x, b in zip(parts, shifts, strict=True)
        ]
    query, key, value = (heads(x, count) if x.value.ndim == 3 else x for x in parts)
    present: list[Masked] = []
    if call.optional(5) is not None:
        end = int(call.setting(7))
        present = [_written(call[i], x, end) for i, x in ((5, key), (6, value))]
        key, value = (take(x, 2, torch.arange(end + 1)) for x in present)
    biases = _padding(call, 3, query.shape[0], key.shape[2])
    biases += [] if call.optional(4) is None else [call[4]]
    result, _, _ = _attend(query, key, value, _Scores(_scale(call, query), 0, biases))
    return [merged(result), *present][: call.outputs]


def _written(cache: Masked, x: Masked, place: int) -> Masked:
    """The cache with one position put into its place."""
    length = cache.shape[2]
    before, after = torch.arange(place), torch.arange(place + 1, length)
    return concat([take(cache, 2, before), x, take(cache, 2, after)], 2)


@operator("com.microsoft::GroupQueryAttention")
def _grouped_query_attention(call: Call) -> list[Masked]:
    for i in range(12, 17):
        if call.optional(i) is not None:
            raise call.refuse("quantised caches, normalised heads or padded queries")
    if call.attribute("sliding_window_cache", 0):
        raise call.refuse("a cache of the window only")
    query, key, value = _grouped(call)
    length = query.shape[2]
    ends = call.setting(5).reshape(-1).to(torch.int64) + 1
    past = call.optional(3)
    first = past is None or length == int(call.setting(6))
    starts = torch.zeros_like(ends) if first else ends - length
    places = starts[:, None] + torch.arange(length)
    if call.attribute("do_rotary", 0):
        given = call.optional_setting(9)
        cos, sin = (take(call[i], 0, places if given is None else given) for i in (7, 8))
        interleaved = bool(call.attribute("rotary_interleaved", 0))
        query, key = (rotated(x, cos, sin, interleaved) for x in (query, key))
    if past is not None and not first:
        if bool((starts != past.shape[2]).any()):
            raise call.refuse("caches of different lengths")
        key, value = concat([past, key], 2), concat([call[4], value], 2)
    scores = _Scores(
        _scale(call, query),
        call.attribute("softcap", 0.0),
        _visible(call, places, ends, key.shape[2]),
        _sink(call, query),
    )
    result, found, weights = _attend(query, key, value, scores)
    if call.attribute("qk_output", 0) == 1:
        weights = elementwise(lambda x: torch.where(x > _LOWEST / 2, x, 0), found)
    return [merged(result), key, value, weights][: call.outputs]


def _grouped(call: Call) -> list[Masked]:
    """Queries, keys and values, by heads."""
    counts = [call.attribute("num_heads"), *[call.attribute("kv_num_heads")] * 2]
    parts = [call[0], call.optional(1), call.optional(2)]
    if parts[1] is None:
        size = call[0].shape[2] // sum(counts)
        parts = list(_parts(call[0], [count * size for count in counts]))
    return [heads(x, n) for x, n in zip(parts, counts, strict=True) if x is not None]


def _visible(call: Call, places: Tensor, ends: Tensor, keys: int) -> list[Masked]:
    """What is added to the scores of queries at some places, with keys up to some ends."""
    later, at = torch.arange(keys), places[:, :, None]
    seen = (later < ends[:, None])[:, None].expand(-1, places.shape[1], -1)
    if call.attribute("causal", 1):
        seen = seen & (later <= at)
    window = call.attribute("local_window_size", -1)
    if window >= 0:
        seen = seen & (later > at - window)
    bias = call.optional(10)
    hidden = Masked(torch.where(seen, 0.0, _LOWEST)[:, None])
    return [*([] if bias is None else [bias]), hidden]


def _sink(call: Call, query: Masked) -> Masked | None:
    """The scores of the key without a value."""
    if call.attribute("smooth_softmax", 0):
        return Masked(torch.zeros(query.shape[1]))
    return call.optional(11)
