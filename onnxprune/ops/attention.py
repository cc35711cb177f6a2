"""ONNX's attention: each head goes by itself; scores sum over its size, results over the keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.patch import Kept, Mask, Patch
from onnxprune.ops.registry import macs, patch, rule
from onnxprune.ops.view import Op, Shape

__all__ = ["HEADS", "broadcastable", "scaled", "score_macs"]

HEADS = {"n": "head", "k": "head", "g": "head", "e": "head-size", "v": "head-size"}
"""The roles of the names in the sentences of attention."""

_ORDER = "its order, its past or its length tells which positions see each other"


@rule("Attention")
def attention(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Attention.html; a head of keys serves g of queries."""
    rank = len(op.shape(0))
    if rank not in (3, 4):
        return Barred("its queries have neither three nor four axes")
    sizes = {}
    if rank == 3:
        queries, keys = op.attr("q_num_heads", 0), op.attr("kv_num_heads", 0)
        if keys < 1 or queries % keys:
            return Barred("its heads are not shared out evenly")
        sizes = {"k": keys, "g": queries // keys}
    heads = {"q_num_heads": "k g", "kv_num_heads": "k"}
    operands, results = _operands(op, rank)
    return Rule(
        f"{', '.join(operands)} -> {', '.join(results)}",
        sizes=sizes,
        attributes={name: heads[name] for name in heads if name in op.node.attributes},
        within={"g": "k"},
        roles=HEADS,
        reason=_ORDER,
    )


def _operands(op: Op, rank: int) -> tuple[list[str], list[str]]:
    ordered = op.attr("is_causal", 0) or any(
        op.attr(f"{side}_window_size", -1) >= 0 for side in ("left", "right")
    )
    keys = op.shape(1)[rank - 2]
    last = op.shape(3)[-1] if op.has(3) and op.shape(3) else keys
    s = "_" if ordered else "s"
    t = "_" if ordered or op.has(4) or op.has(6) or last != keys else "t"
    seen = "t!" if t == "t" else t
    query, key, value, result = (
        (f"b {s} (k g e)", f"b {seen} (k e)", f"b {seen} (k v)", f"b {s} (k g v)")
        if rank == 3
        else (f"b (k g) {s} e", f"b k {seen} e", f"b k {seen} v", f"b (k g) {s} v")
    )
    mask = broadcastable(op, 3, ["b", "(k g)", s, seen])
    operands = [query, key, value, mask, "b k _ e", "b k _ v", "b"][: len(op.node.inputs)]
    present = "_" if op.has(4) else t
    results = [result, f"b k {present} e", f"b k {present} v", f"b (k g) {s} {present}"]
    return operands, results[: len(op.node.outputs)]


@patch("Attention")
def attention_patch(op: Op, kept: Kept) -> Patch:
    """The scale stays that of the original head size."""
    if "scale" in op.node.attributes:
        return Patch()
    if len(op.shape(0)) == 4:
        return scaled(kept.input(0, 3), 1)
    return scaled(kept.input(0, 2), op.attr("q_num_heads", 0))


@macs("Attention")
def attention_macs(op: Op) -> int:
    """Scores and weighted sums, over the keys of the past as well."""
    past = op.shape(4)[2].size if op.has(4) else 0
    return score_macs(op.shape(0), op.result(), op.shape(1)[-2].size + past)


def broadcastable(op: Op, i: int, axes: Sequence[str]) -> str:
    """The last of some axes, as many as an operand has; "1" where it has a single index.

    Args:
        op: The node.
        i: The operand; it may be absent.
        axes: The axes of what it is broadcast to.
    """
    if not op.has(i):
        return ""
    shape = op.shape(i)
    last = axes[len(axes) - len(shape) :]
    return " ".join(
        "1" if dim.size == 1 and not dim.dynamic else axis
        for axis, dim in zip(last, shape, strict=True)
    )


def scaled(mask: Mask | None, heads: int) -> Patch:
    """States the default scale, where heads shrink: it is one over the root of their size.

    Args:
        mask: What stays of an axis of heads, None when all does.
        heads: How many heads there are.
    """
    if mask is None:
        return Patch()
    each = mask.reshape(heads, -1)
    if each.any(0).all():
        return Patch()
    return Patch(attributes={"scale": 1 / math.sqrt(each.shape[1])})


def score_macs(queries: Shape, result: Shape, keys: int) -> int:
    """The multiply-accumulates of scores and of weighted sums.

    Args:
        queries: The shape of the queries.
        result: The shape of the result.
        keys: How many keys each query is compared with.
    """
    return keys * sum(math.prod(dim.size for dim in shape) for shape in (queries, result))
