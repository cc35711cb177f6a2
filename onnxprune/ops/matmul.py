"""Matrix products."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import broadcast
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op


@rule("MatMul")
def matmul(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__MatMul.html; operands of rank 1 lose their free axis."""
    a, b = op.shape(0), op.shape(1)
    (batch_a, batch_b), batch = broadcast([a[:-2], b[:-2]], prefix="p")
    left = f"{batch_a} m k" if len(a) > 1 else "k"
    right = f"{batch_b} k n" if len(b) > 1 else "k"
    result = [batch, "m" if len(a) > 1 else "", "n" if len(b) > 1 else ""]
    return Rule(
        f"{left}, {right} -> {' '.join(filter(None, result))}",
        reason="one of its sizes may be 1 at run time",
    )


@rule("Gemm")
def gemm(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Gemm.html."""
    left = "k m" if op.attr("transA", 0) else "m k"
    right = "n k" if op.attr("transB", 0) else "k n"
    if not op.has(2):
        return Rule(f"{left}, {right} -> m n")
    bias = op.shape(2)
    names = ["m", "n"][2 - len(bias) :]
    bias_axes = ["1" if dim.size == 1 else name for name, dim in zip(names, bias, strict=True)]
    return Rule(f"{left}, {right}, {' '.join(bias_axes)} -> m n")


@macs("MatMul", "Gemm")
def product_macs(op: Op) -> int:
    """Every element of the result sums over the contracted axis."""
    contracted = op.shape(0)[0 if op.attr("transA", 0) else -1]
    return math.prod(dim.size for dim in op.result()) * contracted.size
