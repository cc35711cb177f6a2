"""Pooling over spatial axes; every channel by itself."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("AveragePool", "LpPool", "MaxPool")
def pool(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__MaxPool.html."""
    if op.used(1):
        return Barred("its second result counts all entries of its input, those of every channel")
    return Rule("n c ... -> n c ...")


@rule("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")
def global_pool(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html."""
    spatial = names(len(op.shape(0)) - 2, "s")
    marked = " ".join(f"{axis}!" for axis in spatial)
    return Rule(f"n c {marked} -> n c {' '.join('1' * len(spatial))}")
