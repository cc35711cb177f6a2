"""Attention as onnxruntime fuses it, and as its builders of language models write it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.attention import HEADS, broadcastable, scaled, score_macs
from onnxprune.ops.barred import bar
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.registry import macs, patch, rule
from onnxprune.ops.view import Op

_ORDER = "its masks, its past or their order tell positions apart"
_HEAD = "onnxruntime takes only some head sizes here, and one for queries, keys and values"
_SHARED = "it writes into a buffer that the steps of a loop share"

bar(
    "onnxruntime runs it on graphics processors only, where its rule cannot be tried",
    tuple(
        f"com.microsoft::{name}"
        for name in (
            *("DecoderAttention", "DecoderMaskedSelfAttention", "GatedRelativePositionBias"),
            *("GemmaRotaryEmbedding", "LongformerAttention", "PackedAttention"),
            *("PackedMultiHeadAttention", "PagedAttention", "QOrderedAttention"),
            *("QOrderedLongformerAttention", "RelativePositionBias", "RMSNormRotary"),
            "SparsePagedAttention",
        )
    ),
)
bar("its blocks of keys go to the heads in turn", ("com.microsoft::SparseAttention",))


@rule("com.microsoft::Attention")
def attention(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md."""
    if op.attr("past_present_share_buffer", 0) or op.has(6):
        return Barred(_SHARED)
    if op.attr("do_rotary", 0):
        return Barred("it turns its queries and keys itself")
    apart = not op.has(4) and len(op.node.outputs) == 1
    value = "v" if apart else "e"
    packed = f"(n e + n e + n {value})" if apart else "(3 n e)"
    ordered = op.attr("unidirectional", 0) or op.has(3) or op.has(4)
    s = "_" if ordered else "s"
    seen = "_" if ordered else "s!"
    batch = "_" if op.has(3) else "b"
    bias = broadcastable(op, 5, [batch, "n", s, seen])
    mask = "..." if op.has(3) else ""
    operands = [f"{batch} {seen} i", f"i {packed}", packed, mask, f"2 {batch} n _ e", bias]
    results = [f"{batch} {s} (n {value})", f"2 {batch} n {'_' if op.has(4) else s} e"]
    return Rule(
        f"{_joined(operands, len(op.node.inputs))} -> {_joined(results, len(op.node.outputs))}",
        sizes=_sizes(op) if apart else {"n": op.attr("num_heads", 0)},
        attributes={"num_heads": "n"},
        roles=HEADS,
        reason=_ORDER,
    )


def _joined(operands: Sequence[str], count: int) -> str:
    return ", ".join(operands[:count])


def _widths(op: Op) -> list[int]:
    """The sizes of queries, keys and values."""
    return op.attr("qkv_hidden_sizes", [0][:0]) or [op.shape(1)[1].size // 3] * 3


def _sizes(op: Op) -> dict[str, int]:
    heads = op.attr("num_heads", 0)
    query, _, value = _widths(op)
    return {"n": heads, "e": query // heads, "v": value // heads}


@patch("com.microsoft::Attention")
def attention_patch(op: Op, kept: Kept) -> Patch:
    """The scale stays that of the original head size; sizes are stated where they differ."""
    mask, widths = kept.input(1, 1), _widths(op)
    if mask is None:
        return Patch()
    parts = np.split(mask, np.cumsum(widths)[:-1])
    patch = Patch() if op.attr("scale", 0.0) else scaled(parts[0], op.attr("num_heads", 0))
    left = [int(part.sum()) for part in parts]
    if "qkv_hidden_sizes" in op.node.attributes or len(set(left)) > 1:
        patch |= Patch(attributes={"qkv_hidden_sizes": left})
    return patch


@macs("com.microsoft::Attention")
def attention_macs(op: Op) -> int:
    """The projection of every position, scores and weighted sums."""
    batch, length, _ = (dim.size for dim in op.shape(0))
    past = op.shape(4)[3].size if op.has(4) else 0
    projection = batch * length * math.prod(dim.size for dim in op.shape(1))
    query, _, value = _widths(op)
    return projection + batch * length * (length + past) * (query + value)


@rule("com.microsoft::MultiHeadAttention")
def multi_head_attention(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md."""
    if op.has(8) or op.has(9):
        return Barred(_SHARED)
    if not op.has(1) or len(op.shape(1)) == 5:
        return Barred("its packed form runs on graphics processors only")
    ordered = op.attr("unidirectional", 0)
    mask = op.shape(4) if op.has(4) else None
    s = "_" if ordered or (mask is not None and len(mask) == 3) else "s"
    t = "_" if ordered or mask is not None or op.has(6) else "t"
    seen = "t!" if t == "t" else t
    b = "b" if mask is None else "_"
    cached = len(op.shape(1)) == 4
    v = "e" if cached or op.has(6) else "v"
    key, value = (
        (f"{b} n {seen} e", f"{b} n {seen} e")
        if cached
        else (f"{b} {seen} (n e)", f"{b} {seen} (n {v})")
    )
    operands = [f"{b} {s} (n e)", key, value, f"(n e + n e + n {v})"]
    operands += ["" if mask is None else "...", broadcastable(op, 5, [b, "n", s, seen])]
    operands += [f"{b} n _ e", f"{b} n _ {v}"]
    present = "_" if op.has(6) else t
    results = [f"{b} {s} (n {v})", f"{b} n {present} e", f"{b} n {present} {v}"]
    return Rule(
        f"{_joined(operands, len(op.node.inputs))} -> "
        f"{_joined([*results, f'{b} n {s} {present}'], len(op.node.outputs))}",
        sizes={"n": op.attr("num_heads", 0)},
        attributes={"num_heads": "n"},
        roles=HEADS,
        reason=_ORDER,
    )


@patch("com.microsoft::MultiHeadAttention")
def multi_head_attention_patch(op: Op, kept: Kept) -> Patch:
    """The scale stays that of the original head size."""
    if op.attr("scale", 0.0):
        return Patch()
    return scaled(kept.input(0, 2), op.attr("num_heads", 0))


@macs("com.microsoft::MultiHeadAttention")
def multi_head_attention_macs(op: Op) -> int:
    """Scores and weighted sums, over the keys of the past as well."""
    past = op.shape(6)[2].size if op.has(6) else 0
    return score_macs(op.shape(0), op.result(), op.shape(1)[-2].size + past)


@rule("com.microsoft::DecoderMaskedMultiHeadAttention")
def decoder_masked_attention(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; one position."""
    if not op.has(1):
        return Barred("its packed form runs on graphics processors only")
    size = op.shape(0)[2].size // op.attr("num_heads", 0)
    row, cache, across = f"b _ (n {size})", "b n _ _", len(op.shape(1)) == 4
    t = "t!" if across and not op.has(3) else "_"
    keys = f"b n {t} _" if across else row
    mask = "b _" if op.has(3) else ""
    operands = [row, keys, keys, mask, broadcastable(op, 4, ["b", "n", "_", t]), cache, cache]
    operands += ["..." if op.has(i) else "" for i in range(7, 10)] + [f"(3 n {size})"]
    results = [row, cache, cache, cache]
    return Rule(
        f"{_joined(operands, len(op.node.inputs))} -> {_joined(results, len(op.node.outputs))}",
        attributes={"num_heads": "n"},
        roles=HEADS,
        reason=_HEAD,
    )


@rule("com.microsoft::GroupQueryAttention")
def grouped_query_attention(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; heads go whole.

    Each head of keys serves g of queries.
    """
    queries, keys = op.attr("num_heads", 0), op.attr("kv_num_heads", 0)
    if keys < 1 or queries < 1 or queries % keys:
        return Barred("its heads are not shared out evenly")
    if any(op.has(i) for i in (12, 13)):
        return Barred("its cache is quantised")
    separate = op.has(1)
    size = op.shape(0)[2].size // (queries if separate else queries + 2 * keys)
    row, key, cache = f"(k g {size})", f"(k {size})", "b k _ _"
    operands = (
        [f"b _ {row}", f"b _ {key}", f"b _ {key}"]
        if separate
        else [f"b _ (k g {size} + k {size} + k {size})", "", ""]
    )
    operands += [cache, cache, "b", *("..." if op.has(i) else "" for i in range(6, 10))]
    operands += [broadcastable(op, 10, ["b", "(k g)", "_", "_"]), "(k g)", "", "", "_", "_", "b"]
    results = [f"b _ {row}", cache, cache, "b (k g) _ _"]
    return Rule(
        f"{_joined(operands, len(op.node.inputs))} -> {_joined(results, len(op.node.outputs))}",
        sizes={"k": keys, "g": queries // keys},
        attributes={"num_heads": "k g", "kv_num_heads": "k"},
        within={"g": "k"},
        roles=HEADS,
        reason=_HEAD,
    )


@macs("com.microsoft::GroupQueryAttention")
def grouped_query_attention_macs(op: Op) -> int:
    """Scores and weighted sums, over the keys of the past as well."""
    past = op.shape(3)[2].size if op.has(3) else 0
    result = op.result()
    return score_macs(result, result, op.shape(0)[1].size + past)
