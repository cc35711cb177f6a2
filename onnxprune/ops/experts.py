"""Mixtures of experts, which onnxruntime adds in its own domain.

Their specifications are in
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md under their names.
"""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op


@rule("com.microsoft::MoE")
def mixture(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.MoE; only what lies inside of its experts may go."""
    if op.has(6):
        return Barred("its experts have a third weight, which is not understood")
    both, inner = op.shape(2)[1].size, op.shape(4)[2].size
    if both == 2 * inner and op.attr("swiglu_fusion", 0) == 1:
        hidden = "(j 2)"
    elif both == inner:
        hidden = "j"
    else:
        return Barred("how its first weights are laid out is not understood")
    rows = "t" if len(op.shape(0)) == 2 else "_"
    tokens = "t _" if rows == "t" else "_ _ _"
    operands = [tokens, f"{rows} _", f"_ {hidden} _", f"_ {hidden}", "_ _ j", "_ _"]
    return Rule(
        f"{', '.join(operands)} -> {tokens}",
        reason="its experts share this axis, or it chooses among them",
    )


@macs("com.microsoft::MoE")
def mixture_macs(op: Op) -> int:
    """Every token meets the weights of the experts that are chosen for it."""
    tokens = 1
    for dim in op.shape(0)[:-1]:
        tokens *= dim.size
    first, second = ([dim.size for dim in op.shape(i)[1:]] for i in (2, 4))
    each = first[0] * first[1] + second[0] * second[1]
    return tokens * min(op.attr("k", 1), op.shape(2)[0].size) * each


@rule("com.microsoft::QMoE")
def quantized_mixture(op: Op) -> Barred:
    """ContribOperators.md#com.microsoft.QMoE."""
    return Barred("the weights of its experts are packed in bytes, in an order of its own")
