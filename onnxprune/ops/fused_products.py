"""onnxruntime's operators that multiply and sum: an ONNX operator with something fused into it.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.convolution import conv_macs, conv_transpose_macs, grouped
from onnxprune.ops.matmul import gemm, product_macs
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op

_ELEMENTWISE = frozenset(
    [
        *("", "Affine", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu"),
        *("ParametricSoftplus", "QuickGelu", "Relu", "ScaledTanh", "Selu", "Sigmoid"),
        *("Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
    ]
)
"""Activations that work entry by entry, and so say nothing about axes."""


def _activated(op: Op, rule: Rule | Barred) -> Rule | Barred:
    """A rule, if what is fused into the operator works entry by entry."""
    activation = op.attr("activation", "")
    if activation in _ELEMENTWISE:
        return rule
    return Barred(f"nothing is known of {activation}, which is fused into it")


@rule("com.microsoft::FusedConv")
def fused_conv(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.FusedConv; the fourth operand is added to the result."""
    sentence = "n (g c) ..., (g o) c ..., (g o), n (g o) ... -> n (g o) ..."
    return _activated(op, grouped(op, sentence))


@rule("com.microsoft::NhwcConv", "com.microsoft::NhwcFusedConv")
def channels_last_conv(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.NhwcConv.

    The weight is documented as that of a Conv; some kernels want its channels last all the same.
    """
    inputs = op.shape(0)[-1].size // op.attr("group", 1)
    second, last = (op.shape(1)[axis].size == inputs for axis in (1, -1))
    if second and last and inputs > 1:
        return Barred("it is not known which axis of its weight is that of the channels")
    weight = "(g o) c ..." if second else "(g o) ... c"
    sentence = f"n ... (g c), {weight}, (g o), n ... (g o) -> n ... (g o)"
    return _activated(op, grouped(op, sentence, -1))


@rule("com.microsoft::ConvTransposeWithDynamicPads")
def conv_transpose_with_pads(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.ConvTransposeWithDynamicPads."""
    return grouped(op, "n (g c) ..., (g c) o ..., _, (g o) -> n (g o) ...")


@rule("com.microsoft::FusedGemm")
def fused_gemm(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.FusedGemm."""
    return _activated(op, gemm(op))


@rule(
    *("com.microsoft::FusedMatMul", "com.microsoft::FusedMatMulActivation"),
    "com.microsoft::TransposeMatMul",
)
def fused_matmul(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.FusedMatMul."""
    a, b = op.shape(0), op.shape(1)
    moved_a, moved_b = _moved(op, "A", len(a)), _moved(op, "B", len(b))
    batches = [a[1:-1] if moved_a else a[:-2], b[1:-1] if moved_b else b[:-2]]
    (batch_a, batch_b), batch = broadcast(batches, prefix="p")
    rows = ("k", "m") if op.attr("transA", 0) else ("m", "k")
    columns = ("n", "k") if op.attr("transB", 0) else ("k", "n")
    left = _matrix(*rows, batch_a, moved_a) if len(a) > 1 else "k"
    right = _matrix(*columns, batch_b, moved_b) if len(b) > 1 else "k"
    result = [batch, "m" if len(a) > 1 else "", "n" if len(b) > 1 else ""]
    rule = Rule(
        f"{left}, {right} -> {' '.join(filter(None, result))}",
        reason="one of its sizes may be 1 at run time",
    )
    return _activated(op, rule)


def _moved(op: Op, operand: str, rank: int) -> bool:
    """Whether the first axis of an operand belongs to its matrix, and its batch comes after it."""
    return rank > 2 and bool(op.attr(f"transBatch{operand}", 0))


def _matrix(first: str, second: str, batch: str, moved: bool) -> str:
    return f"{first} {batch} {second}" if moved else f"{batch} {first} {second}"


@rule("com.microsoft::GemmFastGelu")
def gemm_fast_gelu(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.GemmFastGelu."""
    rows = " ".join(names(len(op.shape(0)) - 1, "m"))
    return Rule(f"{rows} k, k n, n -> {rows} n")


@rule("com.microsoft::CDist")
def distances(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.CDist; it sums over the coordinates of two points."""
    return Rule("m k, n k -> m n")


@rule("com.microsoft::WordConvEmbedding")
def word_embedding(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.WordConvEmbedding; words are rows of characters."""
    return Rule(
        "s _, o _ _ e, o, _ e -> s o",
        attributes={"embedding_size": "o", "char_embedding_size": "e"},
        reason="windows of characters slide over it",
    )


macs(
    *("com.microsoft::FusedConv", "com.microsoft::NhwcConv", "com.microsoft::NhwcFusedConv"),
)(conv_macs)
macs("com.microsoft::ConvTransposeWithDynamicPads")(conv_transpose_macs)
macs("com.microsoft::CDist", "com.microsoft::FusedGemm", "com.microsoft::GemmFastGelu")(
    product_macs
)


@macs(
    *("com.microsoft::FusedMatMul", "com.microsoft::FusedMatMulActivation"),
    "com.microsoft::TransposeMatMul",
)
def fused_matmul_macs(op: Op) -> int:
    """Every element of the result sums over the contracted axis."""
    shape = op.shape(0)
    transposed = op.attr("transA", 0) and len(shape) > 1
    rows = 0 if _moved(op, "A", len(shape)) else -2
    contracted = shape[rows if transposed else -1]
    return math.prod(dim.size for dim in op.result()) * contracted.size
