"""Convolutions of any spatial rank and any number of groups; depthwise is the case c = 1."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op

__all__ = ["conv_macs", "conv_transpose_macs", "grouped"]

_OFFSETS = "it holds an offset for each position of the kernel"


@rule("Conv")
def conv(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Conv.html."""
    return grouped(op, "n (g c) ..., (g o) c ..., (g o) -> n (g o) ...")


@rule("ConvTranspose")
def conv_transpose(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ConvTranspose.html."""
    return grouped(op, "n (g c) ..., (g c) o ..., (g o) -> n (g o) ...")


def grouped(op: Op, sentence: str, axis: int = 1) -> Rule:
    """The rule of a convolution of any kind.

    Args:
        op: The node.
        sentence: Its sentence, with groups ``g`` of input channels ``c`` and output channels ``o``.
        axis: The axis of the channels of its first operand.
    """
    groups, channels = op.attr("group", 1), op.shape(0)[axis].size
    return Rule(
        sentence,
        sizes={"g": groups},
        attributes={"group": "g"},
        within={"c": "g", "o": "g"},
        roles={"g": "group"} if 1 < groups < channels else {},  # a group of one is a channel
    )


@rule("DeformConv")
def deform_conv(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__DeformConv.html; offsets are for runs of channels."""
    groups, fields = op.attr("group", 1), op.attr("offset_group", 1)
    kernel = math.prod(dim.size for dim in op.shape(1)[2:])
    if groups == 1:
        return Rule(
            f"n (f c) ..., o (f c) ..., n (f {2 * kernel}) ..., o, n (f {kernel}) ... -> n o ...",
            sizes={"f": fields},
            attributes={"offset_group": "f"},
            reason=_OFFSETS,
        )
    if fields == 1:
        return Rule(
            "n (g c) ..., (g o) c ..., n _ ..., (g o), n _ ... -> n (g o) ...",
            sizes={"g": groups},
            attributes={"group": "g"},
            reason=_OFFSETS,
        )
    return Barred("its channels are grouped once by its weight and again by its offsets")


@macs("Conv", "DeformConv")
def conv_macs(op: Op) -> int:
    """Every output element sums over the input channels of its group and the kernel."""
    weight = [dim.size for dim in op.shape(1)]
    return math.prod(dim.size for dim in op.result()) * math.prod(weight[1:])


@macs("ConvTranspose")
def conv_transpose_macs(op: Op) -> int:
    """Every input element meets the output channels of its group and the kernel."""
    weight = [dim.size for dim in op.shape(1)]
    return math.prod(dim.size for dim in op.shape(0)) * math.prod(weight[1:])
