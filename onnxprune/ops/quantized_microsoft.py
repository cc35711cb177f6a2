"""Quantised operators that onnxruntime adds in its own domain.

Their specifications are in
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md under their names.
"""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.quantized import PACKED, aligned, parameter, product, rows
from onnxprune.ops.registry import macs, patch, rule
from onnxprune.ops.view import Op

_DYNAMIC = "one of its sizes may be 1 at run time"


def _numbers(op: Op, *inputs: int) -> str:
    """Scales and zero points that are one number each."""
    return ", ".join(parameter(op, i) for i in inputs)


@rule("com.microsoft::QLinearAdd", "com.microsoft::QLinearMul")
def binary(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearAdd."""
    (a, b), y = broadcast([op.shape(0), op.shape(3)])
    text = f"{a}, {_numbers(op, 1, 2)}, {b}, {_numbers(op, 4, 5, 6, 7)} -> {y}"
    return Rule(text, reason=_DYNAMIC)


@rule("com.microsoft::QLinearWhere")
def where(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearWhere."""
    (condition, x, y), z = broadcast([op.shape(i) for i in (0, 1, 4)])
    numbers = _numbers(op, 2, 3), _numbers(op, 5, 6, 7, 8)
    return Rule(f"{condition}, {x}, {numbers[0]}, {y}, {numbers[1]} -> {z}", reason=_DYNAMIC)


@rule("com.microsoft::QLinearSigmoid", "com.microsoft::QLinearLeakyRelu")
def activation(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearSigmoid."""
    axes = " ".join(names(len(op.shape(0))))
    return Rule(f"{axes}, {_numbers(op, 1, 2, 3, 4)} -> {axes}")


@rule("com.microsoft::QLinearConcat")
def concat(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearConcat; tensor, scale and zero point in turn."""
    rank = len(op.result())
    axis = op.attr("axis", 0) % rank
    shared, count = names(rank), len(op.node.inputs)
    parts = names((count - 2) // 3, prefix="x")
    operands = [_numbers(op, 0, 1)]
    for place, part in zip(range(2, count, 3), parts, strict=True):
        operands.append(" ".join([*shared[:axis], part, *shared[axis + 1 :]]))
        operands.append(_numbers(op, place + 1, place + 2))
    joined = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
    result = " ".join([*shared[:axis], joined, *shared[axis + 1 :]])
    return Rule(f"{', '.join(operands)} -> {result}")


@rule("com.microsoft::QLinearSoftmax")
def softmax(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearSoftmax; before opset 13 over all from `axis`."""
    axes = names(len(op.shape(0)))
    new = op.attr("opset", 0) >= 13
    axis = op.attr("axis", -1 if new else 1) % len(axes)
    over = [axis] if new else range(axis, len(axes))
    marked = [f"{name}!" if i in over else name for i, name in enumerate(axes)]
    return Rule(f"{' '.join(marked)}, {_numbers(op, 1, 2, 3, 4)} -> {' '.join(axes)}")


@rule("com.microsoft::QLinearAveragePool")
def average_pool(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearAveragePool."""
    axes = "n ... c" if op.attr("channels_last", 0) else "n c ..."
    return Rule(f"{axes}, {_numbers(op, 1, 2, 3, 4)} -> {axes}")


@rule("com.microsoft::QLinearGlobalAveragePool")
def global_average_pool(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QLinearGlobalAveragePool."""
    spatial = names(len(op.shape(0)) - 2, "s")
    marked, ones = " ".join(f"{axis}!" for axis in spatial), " ".join("1" * len(spatial))
    last = op.attr("channels_last", 0)
    x, y = (f"n {marked} c", f"n {ones} c") if last else (f"n c {marked}", f"n c {ones}")
    return Rule(f"{x}, {_numbers(op, 1, 2, 3, 4)} -> {y}")


@rule("com.microsoft::QGemm")
def gemm(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.QGemm."""
    a = "k m" if op.attr("transA", 0) else "m k"
    b = "n k" if op.attr("transB", 0) else "k n"
    scales = [parameter(op, i, "n") for i in (4, 5)]
    operands = [a, _numbers(op, 1, 2), b, *scales, aligned(op, 6, "m n"), _numbers(op, 7, 8)]
    return Rule(f"{', '.join(operands)} -> m n")


@rule("com.microsoft::DynamicQuantizeMatMul")
def dynamic_matmul(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.DynamicQuantizeMatMul; all of A tells its scale."""
    a, b, y = product(op, 0, 1)
    marked = " ".join(name if name in ("1", "_") else f"{name}!" for name in a.split())
    operands = (marked, b, aligned(op, 2, b), aligned(op, 3, b), parameter(op, 4, "n"))
    return Rule(f"{', '.join(operands)} -> {y}", reason=_DYNAMIC)


@rule("com.microsoft::MatMulIntegerToFloat")
def matmul_to_float(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.MatMulIntegerToFloat."""
    a, b, y = product(op, 0, 1)
    scales = (rows(op, 2, a), aligned(op, 3, b), rows(op, 4, a), aligned(op, 5, b))
    return Rule(f"{a}, {b}, {', '.join(scales)}, {parameter(op, 6, 'n')} -> {y}", reason=_DYNAMIC)


@rule("com.microsoft::MatMulNBits")
def matmul_bits(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.MatMulNBits; K loses whole blocks, bytes stay together."""
    block, k = op.attr("block_size", 0), op.attr("K", 0)
    zeros = _packed_zeros(op)
    split = k % block == 0 and not zeros and not op.has(4)
    inner, blocks = (f"(k {block})", "k") if split else ("_", "_")
    batch = " ".join(names(len(op.shape(0)) - 1, "p"))
    scales = "n " + blocks if len(op.shape(2)) > 1 else _row(blocks, op.shape(1)[1].size)
    zero = ""
    if op.has(3) and len(op.shape(3)) > 1:
        zero = "n _" if zeros else f"n {blocks}"
    elif op.has(3):
        zero = _row("_" if zeros else blocks, op.shape(3)[0].size // op.attr("N", 1))
    operands = (f"{batch} {inner}", f"n {blocks} ...", scales, zero, "_" if op.has(4) else "", "n")
    return Rule(
        f"{', '.join(operands)} -> {batch} n",
        attributes={"N": "n"},
        reason=_why_whole(op, zeros),
    )


def _row(blocks: str, count: int) -> str:
    """The blocks of all rows on one axis."""
    return f"(n {count if blocks == '_' else blocks})"


def _packed_zeros(op: Op) -> bool:
    """Whether several zero points of a row share a byte."""
    dtype = value.dtype if (value := op.node.inputs[3] if op.has(3) else None) else None
    whole = dtype is not None and dtype.is_floating_point()
    return op.has(3) and op.attr("bits", 4) < 8 and not whole


def _why_whole(op: Op, zeros: bool) -> str:
    if op.has(4):
        return "its columns are put in another order"
    if zeros:
        return "zero points of several blocks share a byte"
    return PACKED


@patch("com.microsoft::MatMulNBits")
def matmul_bits_patch(op: Op, kept: Kept) -> Patch:
    """K becomes what stays of it."""
    mask = kept.input(0, len(op.shape(0)) - 1)
    return Patch() if mask is None else Patch(attributes={"K": int(mask.sum())})


@rule("com.microsoft::QAttention")
def attention(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.QAttention; heads go as a whole."""
    if op.attr("do_rotary", 0):
        return Barred("it turns positions within its heads")
    heads = op.attr("num_heads", 0)
    size = op.shape(1)[1].size // (3 * heads)
    columns = f"(3 h {size})"
    mask = " ".join("_" * len(op.shape(5))) if op.has(5) else ""
    batch = "_" if op.has(5) else "b"
    past = f"2 {batch} h _ {size}" if op.has(8) else ""
    operands = (
        *(
            f"{batch} _ i",
            f"i {columns}",
            columns,
            parameter(op, 3),
            parameter(op, 4, columns),
            mask,
        ),
        *(parameter(op, 6), parameter(op, 7, columns), past),
    )
    present = f", 2 {batch} h _ {size}" if len(op.node.outputs) > 1 else ""
    return Rule(
        f"{', '.join(operands)} -> {batch} _ (h {size}){present}",
        sizes={"h": heads},
        attributes={"num_heads": "h"},
        reason="every position attends to all others",
    )


@rule("com.microsoft::DynamicQuantizeLSTM")
def dynamic_lstm(op: Op) -> Barred:
    """ContribOperators.md#com.microsoft.DynamicQuantizeLSTM."""
    return Barred("every step finds the scale of its state over all of it")


@macs("com.microsoft::DynamicQuantizeMatMul", "com.microsoft::MatMulIntegerToFloat")
@macs("com.microsoft::MatMulNBits")
def product_macs(op: Op) -> int:
    """Every element of the result sums over the contracted axis."""
    return math.prod(dim.size for dim in op.result()) * op.shape(0)[-1].size


@macs("com.microsoft::QGemm")
def gemm_macs(op: Op) -> int:
    """Every element of the result sums over the contracted axis."""
    contracted = op.shape(0)[0 if op.attr("transA", 0) else 1]
    return math.prod(dim.size for dim in op.result()) * contracted.size


@macs("com.microsoft::QAttention")
def attention_macs(op: Op) -> int:
    """The projections to queries, keys and values; what they attend to is not counted."""
    return math.prod(dim.size for dim in op.shape(0)) * op.shape(1)[1].size
