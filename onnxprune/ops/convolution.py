"""Convolutions of any spatial rank and any number of groups; depthwise is the case c = 1."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Rule
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op


@rule("Conv")
def conv(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Conv.html."""
    return Rule(
        "n (g c) ..., (g o) c ..., (g o) -> n (g o) ...",
        sizes={"g": op.attr("group", 1)},
        attributes={"group": "g"},
    )


@rule("ConvTranspose")
def conv_transpose(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ConvTranspose.html."""
    return Rule(
        "n (g c) ..., (g c) o ..., (g o) -> n (g o) ...",
        sizes={"g": op.attr("group", 1)},
        attributes={"group": "g"},
    )


@macs("Conv")
def conv_macs(op: Op) -> int:
    """Every output element sums over the input channels of its group and the kernel."""
    weight = [dim.size for dim in op.shape(1)]
    return math.prod(dim.size for dim in op.result()) * math.prod(weight[1:])


@macs("ConvTranspose")
def conv_transpose_macs(op: Op) -> int:
    """Every input element meets the output channels of its group and the kernel."""
    weight = [dim.size for dim in op.shape(1)]
    return math.prod(dim.size for dim in op.shape(0)) * math.prod(weight[1:])
