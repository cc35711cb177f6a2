"""Comparison, logic, choice and conversion."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.tensors import dtype_of

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}


@operator(*_BINARY)
def _binary(call: Call) -> Masked:
    return elementwise(_BINARY[call.operator], call[0], call[1])


@operator("Not")
def _not(call: Call) -> Masked:
    return elementwise(torch.logical_not, call[0])


@operator("BitwiseNot")
def _bitwise_not(call: Call) -> Masked:
    return elementwise(torch.bitwise_not, call[0])


@operator("BitShift")
def _shift(call: Call) -> Masked:
    left = call.attribute("direction") == "LEFT"
    function = torch.bitwise_left_shift if left else torch.bitwise_right_shift
    return elementwise(function, call[0], call[1])


@operator("IsNaN")
def _is_nan(call: Call) -> Masked:
    return elementwise(torch.isnan, call[0])


@operator("IsInf")
def _is_inf(call: Call) -> Masked:
    negative, positive = call.attribute("detect_negative", 1), call.attribute("detect_positive", 1)

    def is_inf(x: Tensor) -> Tensor:
        return torch.isinf(x) & (((x < 0) & bool(negative)) | ((x > 0) & bool(positive)))

    return elementwise(is_inf, call[0])


@operator("Where")
def _where(call: Call) -> Masked:
    return elementwise(torch.where, call[0], call[1], call[2])


@operator("Cast")
def _cast(call: Call) -> Masked:
    dtype = dtype_of(call.attribute("to"))
    return elementwise(lambda x: x.to(dtype), call[0])


@operator("CastLike")
def _cast_like(call: Call) -> Masked:
    dtype = call.tensor(1).dtype
    return elementwise(lambda x: x.to(dtype), call[0])


@operator("BitCast")
def _bit_cast(call: Call) -> Masked:
    dtype = dtype_of(call.attribute("to"))
    return elementwise(lambda x: x.contiguous().view(dtype), call[0])
