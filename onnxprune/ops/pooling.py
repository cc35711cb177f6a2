"""Pooling over spatial axes; every channel by itself."""

from __future__ import annotations

from onnxprune.axes.rule import Rule
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule(
    *("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"),
)
def pool(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__MaxPool.html; a second result counts all elements."""
    return Rule("n c ... -> n c ...")
