"""Operators for which the order of an axis, or where an entry stands on it, gives the answer."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


def _whole(op: Op, axes: set[int], reason: str, results: int = 1) -> Rule:
    """Some axes stay whole in operand and results, the others pass."""
    text = " ".join("_" if i in axes else n for i, n in enumerate(names(len(op.shape(0)))))
    return Rule(f"{text} -> {', '.join([text] * results)}", reason=reason)


@rule("ArgMax", "ArgMin")
def position(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ArgMax.html."""
    taken = names(len(op.shape(0)))
    axis = op.attr("axis", 0) % len(taken)
    taken[axis] = "_"
    given = [*taken[:axis], *(["1"] if op.attr("keepdims", 1) else []), *taken[axis + 1 :]]
    return Rule(
        f"{' '.join(taken)} -> {' '.join(given)}",
        reason="its result is a position on this axis, and positions would change",
    )


@rule("TopK")
def top_k(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__TopK.html."""
    axis = op.attr("axis", -1) % len(op.shape(0))
    return _whole(op, {axis}, "its result has positions on this axis, which would change", 2)


@rule("Hardmax")
def hardmax(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Hardmax.html; before opset 13 over all from `axis`."""
    rank = len(op.shape(0))
    axis = op.attr("axis", -1 if op.version >= 13 else 1) % rank
    over = set(range(axis, rank)) if op.version < 13 else {axis}
    return _whole(op, over, "it marks the largest entry of this axis, which must not go")


@rule("CumProd", "CumSum")
def cumulative(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__CumSum.html."""
    axes = op.ints(1)
    if axes is None or len(axes) != 1:
        return Barred("it has no axis")
    axis = axes[0] % len(op.shape(0))
    return _whole(op, {axis}, "it combines all entries before each one of this axis")


@rule("Trilu")
def trilu(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Trilu.html."""
    rank = len(op.shape(0))
    return _whole(op, {rank - 2, rank - 1}, "the diagonal ties its rows to its columns")


@rule("ReverseSequence")
def reverse_sequence(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ReverseSequence.html."""
    axes = names(len(op.shape(0)))
    axes[op.attr("time_axis", 0) % len(axes)] = "_"
    batch = axes[op.attr("batch_axis", 1) % len(axes)]
    text = " ".join(axes)
    return Rule(f"{text}, {batch} -> {text}", reason="it reverses a part of this axis")


@rule("Compress")
def compress(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Compress.html."""
    if "axis" not in op.node.attributes:
        return Barred("it picks from all entries, those of every channel")
    axis = op.attr("axis", 0) % len(op.shape(0))
    return _whole(op, {axis}, "it picks indices of this axis while the model runs")
