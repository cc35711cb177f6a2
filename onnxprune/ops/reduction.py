"""Reductions. The reduced axes may lose indices: the statistic is over what is left."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule(
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
def reduction(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__ReduceMean.html; axes are an attribute or an input."""
    rank = len(op.shape(0))
    axes = op.axes(rank)
    if axes is None:
        axes = [] if op.attr("noop_with_empty_axes", 0) else list(range(rank))
    taken = names(rank)
    left = [f"{name}!" if i in axes else name for i, name in enumerate(taken)]
    if op.attr("keepdims", 1):
        right = ["1" if i in axes else name for i, name in enumerate(taken)]
    else:
        right = [name for i, name in enumerate(taken) if i not in axes]
    return Rule(f"{' '.join(left)} -> {' '.join(right)}")
