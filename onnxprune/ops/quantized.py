"""Quantisation, and products of quantised operands.

A scale or zero point of one element is for the whole tensor; one of several stands along an axis
of the tensor and loses what the axis loses.
"""

from __future__ import annotations

import math

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.convolution import grouped
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op

PACKED = "blocks of this axis share a scale, and its last block is shorter than the others"


def parameter(op: Op, i: int, axis: str = "_") -> str:
    """The axes of a scale or zero point that is one number, or one for each index of an axis.

    Args:
        op: The node.
        i: The input.
        axis: The name of that axis.
    """
    shape = op.shape(i) if op.has(i) else ()
    return " ".join("1" if dim.size == 1 and not dim.dynamic else axis for dim in shape)


def aligned(op: Op, i: int, axes: str) -> str:
    """The axes of a parameter that is one number, or aligned on the right with an operand.

    Args:
        op: The node.
        i: The input.
        axes: The axes of that operand.
    """
    shape = op.shape(i) if op.has(i) else ()
    last = axes.split()[len(axes.split()) - len(shape) :]
    return " ".join("1" if d.size == 1 else name for name, d in zip(last, shape, strict=True))


@rule(
    *("QuantizeLinear", "DequantizeLinear"),
    *("com.microsoft::QuantizeLinear", "com.microsoft::DequantizeLinear"),
)
def linear(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html; of a block only all may go."""
    shape = op.shape(0)
    axes = names(len(shape))
    if not shape:
        return Rule(f", {parameter(op, 1)}, {parameter(op, 2)} -> ")
    axis = op.attr("axis", 1) % len(shape)
    block = op.attr("block_size", 0)
    if not block:
        along = axes[axis]
        whole = " ".join(axes)
        return Rule(f"{whole}, {parameter(op, 1, along)}, {parameter(op, 2, along)} -> {whole}")
    taken, scales = [*axes], [*axes]
    if shape[axis].dynamic or shape[axis].size % block:
        taken[axis] = scales[axis] = "_"
    else:
        taken[axis] = f"({axes[axis]} {block})"
    zero = " ".join(scales) if op.has(2) else ""
    whole = " ".join(taken)
    return Rule(f"{whole}, {' '.join(scales)}, {zero} -> {whole}", reason=PACKED)


@rule("DynamicQuantizeLinear")
def dynamic(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html; by its least and largest."""
    axes = names(len(op.shape(0)))
    return Rule(f"{' '.join(f'{axis}!' for axis in axes)} -> {' '.join(axes)}, , ")


def product(op: Op, a: int, b: int) -> tuple[str, str, str]:
    """The axes of both operands of a matrix product, and of its result.

    Args:
        op: The node.
        a: The input that is the left operand.
        b: The input that is the right operand.
    """
    left, right = op.shape(a), op.shape(b)
    (batch_a, batch_b), batch = broadcast([left[:-2], right[:-2]], prefix="p")
    rows, columns = ("m" if len(left) > 1 else ""), ("n" if len(right) > 1 else "")
    texts = (f"{batch_a} {rows} k", f"{batch_b} k {columns}", f"{batch} {rows} {columns}")
    first, second, result = (" ".join(text.split()) for text in texts)
    return first, second, result


_DYNAMIC = "one of its sizes may be 1 at run time"


def rows(op: Op, i: int, axes: str) -> str:
    """The axes of a parameter of the left operand of a product: one number, or one per row."""
    if op.has(i) and len(op.shape(i)) == 1:
        return parameter(op, i, "m")
    return aligned(op, i, axes)


@rule("MatMulInteger")
def matmul_integer(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__MatMulInteger.html."""
    a, b, y = product(op, 0, 1)
    return Rule(f"{a}, {b}, {rows(op, 2, a)}, {aligned(op, 3, b)} -> {y}", reason=_DYNAMIC)


@rule("QLinearMatMul")
def quantized_matmul(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html."""
    a, b, y = product(op, 0, 3)
    operands = (
        *(a, rows(op, 1, a), rows(op, 2, a)),
        *(b, aligned(op, 4, b), aligned(op, 5, b)),
        *(rows(op, 6, y), rows(op, 7, y)),
    )
    return Rule(f"{', '.join(operands)} -> {y}", reason=_DYNAMIC)


@rule("ConvInteger")
def conv_integer(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ConvInteger.html."""
    zero = parameter(op, 3, "(g o)")
    return grouped(op, f"n (g c) ..., (g o) c ..., {parameter(op, 2)}, {zero} -> n (g o) ...")


@rule("QLinearConv", "com.microsoft::QLinearConv")
def quantized_conv(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__QLinearConv.html."""
    last = op.attr("channels_last", 0)
    x, y = ("n ... (g c)", "n ... (g o)") if last else ("n (g c) ...", "n (g o) ...")
    scales = [parameter(op, i, "(g o)") for i in (4, 5)]
    numbers = [parameter(op, i) for i in (1, 2, 6, 7)]
    operands = (x, *numbers[:2], "(g o) c ...", *scales, *numbers[2:], "(g o)")
    return grouped(op, f"{', '.join(operands)} -> {y}", -1 if last else 1)


@macs("MatMulInteger", "QLinearMatMul")
def product_macs(op: Op) -> int:
    """Every element of the result sums over the contracted axis."""
    return math.prod(dim.size for dim in op.result()) * op.shape(0)[-1].size


@macs("ConvInteger")
def conv_integer_macs(op: Op) -> int:
    """Every output element sums over the input channels of its group and the kernel."""
    return _conv_macs(op, 1)


@macs("QLinearConv", "com.microsoft::QLinearConv")
def quantized_conv_macs(op: Op) -> int:
    """Every output element sums over the input channels of its group and the kernel."""
    return _conv_macs(op, 3)


def _conv_macs(op: Op, weight: int) -> int:
    kernel = [dim.size for dim in op.shape(weight)][1:]
    return math.prod(dim.size for dim in op.result()) * math.prod(kernel)
