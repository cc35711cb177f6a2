"""Linear attention and what goes with it: a state is carried from position to position."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.attention import HEADS, scaled
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.registry import macs, patch, rule
from onnxprune.ops.view import Op

_ORDER = "its state is carried along this axis"


@rule("LinearAttention")
def linear_attention(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__LinearAttention.html; a state serves g of queries."""
    queries, keys = op.attr("q_num_heads", 0), op.attr("kv_num_heads", 0)
    if keys < 1 or queries < 1 or queries % keys:
        return Barred("its heads are not shared out evenly")
    gates = []
    for i in (4, 5):  # decay, of each head or each of its keys, and rate
        size = op.shape(i)[2].size if op.has(i) else 1
        gates.append("1" if size == 1 else "k" if size == keys else "(k e)")
    operands = ["b _ (k g e)", "b _ (k e)", "b _ (k v)", "b k e v", *(f"b _ {g}" for g in gates)]
    results = ["b _ (k g v)", "b k e v"]
    return Rule(
        f"{', '.join(operands[: len(op.node.inputs)])} -> "
        f"{', '.join(results[: len(op.node.outputs)])}",
        sizes={"k": keys, "g": queries // keys},
        attributes={"q_num_heads": "k g", "kv_num_heads": "k"},
        within={"g": "k"},
        roles=HEADS,
        reason=_ORDER,
    )


@patch("LinearAttention")
def linear_attention_patch(op: Op, kept: Kept) -> Patch:
    """The scale stays that of the original head size; 0 stands for that."""
    if op.attr("scale", 0.0):
        return Patch()
    return scaled(kept.input(0, 2), op.attr("q_num_heads", 0))


@macs("LinearAttention")
def linear_attention_macs(op: Op) -> int:
    """At each position every query meets the state of its head, and every key updates its own."""
    batch, length, query = (dim.size for dim in op.shape(0))
    key, value = op.shape(1)[2].size, op.shape(2)[2].size
    size = value // op.attr("kv_num_heads", 1)
    return batch * length * size * (query + key)


@rule("CausalConvWithState")
def causal_conv(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html; every channel by itself."""
    operands = ["b c _", "c 1 _", "c", "b c _"][: len(op.node.inputs)]
    results = ["b c _"] * len(op.node.outputs)
    return Rule(f"{', '.join(operands)} -> {', '.join(results)}", reason=_ORDER)


@macs("CausalConvWithState")
def causal_conv_macs(op: Op) -> int:
    """Every output element sums over the kernel."""
    return math.prod(dim.size for dim in op.result()) * op.shape(1)[2].size
