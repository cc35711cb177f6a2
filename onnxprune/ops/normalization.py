"""Normalisations and softmax. A statistic over an axis is taken over the indices that are left."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("BatchNormalization")
def batch_normalization(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__BatchNormalization.html."""
    if op.attr("training_mode", 0):
        return Barred("it runs in training mode")
    return Rule("n c ..., c, c, c, c -> n c ...")


@rule("InstanceNormalization")
def instance_normalization(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html."""
    return Rule("n c ..., c, c -> n c ...")


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
