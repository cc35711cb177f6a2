"""Convolutions and matrix products of whole numbers; float64 holds all of them exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.operators.contraction import matmul
from onnxprune.torch.operators.convolution import convolve
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape


def _shifted(x: Masked, zero: Masked | None, axis: int) -> Masked:
    """What whole numbers stand for, up to a factor: their distance from the zero point."""
    if zero is None:
        return elementwise(lambda v: v.to(torch.float64), x)
    zero = _broadcast(zero, x.value.ndim, axis)
    return elementwise(lambda v, z: v.to(torch.float64) - z.to(torch.float64), x, zero)


def _broadcast(vector: Masked, rank: int, axis: int) -> Masked:
    """One number, or one per entry of an axis, as it is broadcast."""
    if vector.value.numel() == 1:
        return Masked(vector.value.reshape(()))
    if vector.value.ndim > 1:
        return vector
    return reshape(vector, [-1 if a == axis % rank else 1 for a in range(rank)])


def _whole_numbers(x: Masked) -> Masked:
    return Masked(x.value.to(torch.int32), x.levels, x.born)


def _requantized(total: Masked, scales: list[Masked], zero: Masked) -> Masked:
    """A sum of products in the result's own steps: by both operands' scales, over its own."""
    dtype = zero.value.dtype
    limits = torch.iinfo(dtype)

    def requantize(total: Tensor, a: Tensor, b: Tensor, y: Tensor, zero: Tensor) -> Tensor:
        steps = torch.round(total * (a.double() * b.double() / y.double()))
        return (steps + zero).clamp(limits.min, limits.max).to(dtype)

    return elementwise(requantize, total, *scales, zero)


@operator("ConvInteger")
def _conv_integer(call: Call) -> Masked:
    x, w = _shifted(call[0], call.optional(2), 1), _shifted(call[1], call.optional(3), 0)
    return _whole_numbers(convolve(call, x, w, None))


@operator("MatMulInteger")
def _matmul_integer(call: Call) -> Masked:
    a, b = _shifted(call[0], call.optional(2), -2), _shifted(call[1], call.optional(3), -1)
    return _whole_numbers(matmul(a, b))


@operator("QLinearConv")
def _quantized_conv(call: Call) -> Masked:
    x, w, bias = _shifted(call[0], call[2], 1), _shifted(call[3], call[5], 0), call.optional(8)
    if bias is not None:
        bias = Masked(bias.value.to(torch.float64), bias.levels, bias.born)
    total = convolve(call, x, w, bias)
    scales = [_broadcast(call[i], total.value.ndim, 1) for i in (1, 4, 6)]
    return _requantized(total, scales, _broadcast(call[7], total.value.ndim, 1))


@operator("QLinearMatMul")
def _quantized_matmul(call: Call) -> Masked:
    total = matmul(_shifted(call[0], call[2], -2), _shifted(call[3], call[5], -1))
    rank = total.value.ndim
    scales = [_broadcast(call[i], rank, axis) for i, axis in ((1, -2), (4, -1), (6, -2))]
    return _requantized(total, scales, _broadcast(call[7], rank, -2))
