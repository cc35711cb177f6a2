"""Normalisations and softmax. A statistic over an axis is taken over the indices that are left."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("BatchNormalization")
def batch_normalization(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__BatchNormalization.html."""
    if op.attr("training_mode", 0) or len(op.node.outputs) > 1:
        return Barred("it runs in training mode")
    if not op.attr("spatial", 1):
        return Barred("it normalises every position by itself, not every channel")
    spatial = " ".join(names(len(op.shape(0)) - 2, "s"))
    return Rule(f"n c {spatial}, c, c, c, c -> n c {spatial}")


@rule("InstanceNormalization")
def instance_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html."""
    spatial = names(len(op.shape(0)) - 2, "s")
    marked = " ".join(f"{axis}!" for axis in spatial)
    return Rule(f"n c {marked}, c, c -> n c {' '.join(spatial)}")


@rule("GroupNormalization")
def group_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__GroupNormalization.html; per group before opset 21."""
    spatial = names(len(op.shape(0)) - 2, "s")
    marked = " ".join(f"{axis}!" for axis in spatial)
    scale = "g" if op.version < 21 else "(g c)"
    return Rule(
        f"n (g c!) {marked}, {scale}, {scale} -> n (g c) {' '.join(spatial)}",
        sizes={"g": op.attr("num_groups", 0)},
        attributes={"num_groups": "g"},
    )


@rule("MeanVarianceNormalization")
def mean_variance_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html."""
    axes = names(len(op.shape(0)))
    over = {axis % len(axes) for axis in op.attr("axes", [0, 2, 3])}
    marked = [f"{name}!" if i in over else name for i, name in enumerate(axes)]
    return Rule(f"{' '.join(marked)} -> {' '.join(axes)}")


@rule("LRN")
def local_response_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__LRN.html."""
    axes = names(len(op.shape(0)))
    axes[1] = "_"
    return Rule(
        f"{' '.join(axes)} -> {' '.join(axes)}",
        reason="every channel is divided by a sum over its neighbours",
    )


@rule("LayerNormalization", "RMSNormalization")
def layer_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__LayerNormalization.html."""
    shape = op.shape(0)
    axis = op.attr("axis", -1) % len(shape)
    axes = names(len(shape))
    marked = [f"{name}!" if i >= axis else name for i, name in enumerate(axes)]
    parameters = [
        ["1" if d.size == 1 else n for n, d in zip(axes[-len(s) :], s, strict=True)] if s else []
        for s in op.shapes()[1:]
    ]
    operands = ", ".join(" ".join(operand) for operand in [marked, *parameters])
    statistics = " ".join(name if i < axis else "1" for i, name in enumerate(axes))
    results = [" ".join(axes), *[statistics] * (len(op.node.outputs) - 1)]
    return Rule(f"{operands} -> {', '.join(results)}")


@rule("Softmax", "LogSoftmax")
def softmax(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Softmax.html; before opset 13 over all from `axis`."""
    rank = len(op.shape(0))
    axis = op.attr("axis", -1 if op.version >= 13 else 1) % rank
    over = range(axis, rank) if op.version < 13 else [axis]
    axes = names(rank)
    marked = [f"{name}!" if i in over else name for i, name in enumerate(axes)]
    return Rule(f"{' '.join(marked)} -> {' '.join(axes)}")


@rule("LpNormalization")
def lp_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__LpNormalization.html."""
    axes = names(len(op.shape(0)))
    axis = op.attr("axis", -1) % len(axes)
    marked = [f"{name}!" if i == axis else name for i, name in enumerate(axes)]
    return Rule(f"{' '.join(marked)} -> {' '.join(axes)}")
