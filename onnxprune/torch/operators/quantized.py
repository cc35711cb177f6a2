"""QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape
from onnxprune.torch.tensors import dtype_of


def _along(call: Call, vector: Masked) -> Masked:
    """A scale or zero point, as it is broadcast to the tensor."""
    x = call[0]
    if vector.value.numel() == 1:
        return Masked(vector.value.reshape(()))
    axis = call.attribute("axis", 1) % x.value.ndim
    block = call.attribute("block_size", 0)
    if not block:
        return reshape(vector, [-1 if a == axis else 1 for a in range(x.value.ndim)])
    if vector.present is not None:
        raise call.refuse("missing blocks")
    value = vector.value.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return Masked(value)


@operator("DequantizeLinear")
def _dequantize(call: Call) -> Masked:
    scale, zero = call[1], call.optional(2)
    code = call.attribute("output_dtype", 0)
    dtype = dtype_of(code) if code else scale.value.dtype
    operands = [call[0], _along(call, scale)]
    if zero is not None:
        operands.append(_along(call, zero))

    def dequantize(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        wide = torch.float64 if scale.dtype == torch.float64 else torch.float32
        shifted = x.to(wide) if zero is None else x.to(wide) - zero.to(wide)
        return (shifted * scale.to(wide)).to(dtype)

    return elementwise(dequantize, *operands)


@operator("QuantizeLinear")
def _quantize(call: Call) -> Masked:
    scale, zero = call[1], call.optional(2)
    code = call.attribute("output_dtype", 0)
    dtype = dtype_of(code) if code else torch.uint8 if zero is None else zero.value.dtype
    if dtype.is_floating_point:
        raise call.refuse(f"quantising to {dtype}")
    limits = torch.iinfo(dtype)
    operands = [call[0], _along(call, scale)]
    if zero is not None:
        operands.append(_along(call, zero))

    def quantize(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        steps = torch.round(x.float() / scale.float())
        shifted = steps if zero is None else steps + zero.float()
        return shifted.clamp(limits.min, limits.max).to(dtype)

    return elementwise(quantize, *operands, safe=1)
