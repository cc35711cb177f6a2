"""Convolutions and matrix products of whole numbers; float64 holds all of them exactly.

Their sums are scaled in float32 and rounded half to even, as onnxruntime does it; in a graph that
has been widened to float64 they are scaled in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.operators.contraction import matmul
from onnxprune.torch.operators.convolution import convolve
from onnxprune.torch.operators.quantized import saturated, wide
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import permute, reshape

__all__ = ["broadcast", "requantized", "shifted"]


def shifted(x: Masked, zero: Masked | None, axis: int) -> Masked:
    """What whole numbers stand for, up to a factor: their distance from the zero point."""
    if zero is None:
        return elementwise(lambda v: v.to(torch.float64), x)
    zero = broadcast(zero, x.value.ndim, axis)
    return elementwise(lambda v, z: v.to(torch.float64) - z.to(torch.float64), x, zero)


def broadcast(vector: Masked, rank: int, axis: int) -> Masked:
    """One number, or one per entry of an axis, as it is broadcast."""
    if vector.value.numel() == 1:
        return Masked(vector.value.reshape(()))
    if vector.value.ndim > 1:
        return vector
    return reshape(vector, [-1 if a == axis % rank else 1 for a in range(rank)])


def requantized(total: Masked, scales: list[Masked], zero: Masked) -> Masked:
    """A sum of products in the result's own steps: by both operands' scales, over its own."""
    dtype = zero.value.dtype

    def requantize(total: Tensor, a: Tensor, b: Tensor, y: Tensor, zero: Tensor) -> Tensor:
        return saturated(total.to(wide(a, b, y)) * (a * b / y), zero, dtype)

    return elementwise(requantize, total, *scales, zero, safe=1)


def _whole_numbers(x: Masked) -> Masked:
    return Masked(x.value.to(torch.int32), x.levels, x.born)


@operator("ConvInteger")
def _conv_integer(call: Call) -> Masked:
    x, w = shifted(call[0], call.optional(2), 1), shifted(call[1], call.optional(3), 0)
    return _whole_numbers(convolve(call, x, w, None))


@operator("MatMulInteger")
def _matmul_integer(call: Call) -> Masked:
    a, b = shifted(call[0], call.optional(2), -2), shifted(call[1], call.optional(3), -1)
    return _whole_numbers(matmul(a, b))


@operator("QLinearConv", "com.microsoft::QLinearConv")
def _quantized_conv(call: Call) -> Masked:
    x, w, bias = shifted(call[0], call[2], 1), shifted(call[3], call[5], 0), call.optional(8)
    rank = x.value.ndim
    last = bool(call.attribute("channels_last", 0))
    if last:
        x = permute(x, [0, rank - 1, *range(1, rank - 1)])
    if bias is not None:
        bias = Masked(bias.value.to(torch.float64), bias.levels, bias.born)
    total = convolve(call, x, w, bias)
    scales = [broadcast(call[i], rank, 1) for i in (1, 4, 6)]
    result = requantized(total, scales, broadcast(call[7], rank, 1))
    return permute(result, [0, *range(2, rank), 1]) if last else result


@operator("QLinearMatMul")
def _quantized_matmul(call: Call) -> Masked:
    total = matmul(shifted(call[0], call[2], -2), shifted(call[3], call[5], -1))
    rank = total.value.ndim
    scales = [broadcast(call[i], rank, axis) for i, axis in ((1, -2), (4, -1), (6, -2))]
    return requantized(total, scales, broadcast(call[7], rank, -2))
