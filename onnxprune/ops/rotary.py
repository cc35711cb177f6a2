"""Rotary embeddings: every pair of channels is turned by an angle that the caches hold for it."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op

_POSITIONS = "positions pick their angles from the caches"
_PARTS = "a part of each head is turned and the rest is not"


@rule("RotaryEmbedding")
def rotary_embedding(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html."""
    if not op.has(3):
        return _rotary(op, "s", "b s e", "b s e")
    return _rotary(op, "s", "_ e", "_ e", "b s")


@rule("com.microsoft::RotaryEmbedding")
def microsoft_rotary_embedding(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md."""
    if op.attr("is_packed_batching", 0):
        return Barred("its batch is packed")
    if len(op.shape(1)) == 2:
        return _rotary(op, "s", "b s", "_ e", "_ e")
    return _rotary(op, "_", "...", "_ e", "_ e")


@rule("com.microsoft::MRotaryEmbedding")
def multimodal_rotary_embedding(op: Op) -> Rule | Barred:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; in sections."""
    if op.attr("is_packed_batching", 0):
        return Barred("its batch is packed")
    heads = op.attr("num_heads", 0)
    if len(op.shape(0)) == 4:
        return Rule("b n s _, 3 b s, ..., ... -> b n s _", reason=_PARTS)
    if not heads:
        return Barred("how many heads it has is not said")
    size = op.shape(0)[2].size // heads
    return Rule(
        f"b s (n {size}), 3 b s, ..., ... -> b s (n {size})",
        attributes={"num_heads": "n"},
        reason=_PARTS,
    )


def _rotary(op: Op, s: str, *others: str) -> Rule | Barred:
    """Turned pairs are the two halves of a head, or neighbours.

    Args:
        op: The node.
        s: The axis of positions.
        others: The axes of its other operands.
    """
    part, heads = op.attr("rotary_embedding_dim", 0), op.attr("num_heads", 0)
    pairs = "e 2" if op.attr("interleaved", 0) else "2 e"
    attributes = {"rotary_embedding_dim": "2 e"} if part else {}
    if len(op.shape(0)) == 4:
        size = op.shape(0)[3].size
        given = f"b n {s} ({pairs} + r)" if 0 < part < size else f"b n {s} ({pairs})"
        attributes |= {"num_heads": "n"} if heads else {}
    elif not part:
        given = f"b {s} (n {pairs})"
        attributes |= {"num_heads": "n"} if heads else {}
    elif heads:
        size = op.shape(0)[2].size // heads
        given = f"b {s} (n {size})"
        others = tuple(axes.replace("e", "_") for axes in others)
        attributes = {"num_heads": "n"}
    else:
        return Barred("how many heads it has is not said")
    return Rule(
        f"{', '.join([given, *others])} -> {given}",
        attributes=attributes,
        reason=_POSITIONS if "e" in given else _PARTS,
    )
