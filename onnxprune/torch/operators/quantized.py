"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, rounded as onnxruntime rounds.

Steps are computed in float32 and rounded half to even; in a graph that has been widened to float64
they are computed in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape, take
from onnxprune.torch.tensors import dtype_of

__all__ = ["decoded", "dynamic", "encoded", "saturated", "wide"]


def wide(*scales: Tensor) -> torch.dtype:
    """The type in which steps are computed: float32, or float64 where that is asked for."""
    double = any(scale.dtype == torch.float64 for scale in scales)
    return torch.float64 if double else torch.float32


def saturated(steps: Tensor, zero: Tensor, dtype: torch.dtype) -> Tensor:
    """Steps rounded half to even and shifted by the zero point, within the limits of a type."""
    limits, zero = torch.iinfo(dtype), zero.to(steps.dtype)
    return (torch.round(steps) + zero).clamp(limits.min, limits.max).to(dtype)


def decoded(x: Masked, scale: Masked, zero: Masked | None) -> Masked:
    """What quantised numbers stand for; parameters are broadcast to them."""

    def decode(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        dtype = wide(scale)
        shifted = x.to(dtype) if zero is None else x.to(dtype) - zero.to(dtype)
        return shifted * scale.to(dtype)

    return elementwise(decode, *(v for v in (x, scale, zero) if v is not None))


def encoded(x: Masked, scale: Masked, zero: Masked | None, dtype: torch.dtype) -> Masked:
    """Numbers as steps of a scale; parameters are broadcast to them."""

    def encode(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        kind = wide(x, scale)
        shift = torch.zeros((), dtype=kind) if zero is None else zero
        return saturated(x.to(kind) / scale.to(kind), shift, dtype)

    return elementwise(encode, *(v for v in (x, scale, zero) if v is not None), safe=1)


def _along(call: Call, vector: Masked | None) -> Masked | None:
    """A scale or zero point, as it is broadcast to the tensor."""
    x = call[0]
    if vector is None or vector.value.numel() == 1:
        return None if vector is None else Masked(vector.value.reshape(()))
    axis = call.attribute("axis", 1) % x.value.ndim
    block = call.attribute("block_size", 0)
    if block:
        return take(vector, axis, torch.arange(x.shape[axis]) // block)
    return reshape(vector, [-1 if a == axis else 1 for a in range(x.value.ndim)])


@operator("DequantizeLinear", "com.microsoft::DequantizeLinear")
def _dequantize(call: Call) -> Masked:
    scale = _along(call, call[1])
    assert scale is not None
    code = call.attribute("output_dtype", 0)
    dtype = dtype_of(code) if code else scale.value.dtype
    result = decoded(call[0], scale, _along(call, call.optional(2)))
    return Masked(result.value.to(dtype), result.levels, result.born)


@operator("QuantizeLinear", "com.microsoft::QuantizeLinear")
def _quantize(call: Call) -> Masked:
    scale, zero = _along(call, call[1]), call.optional(2)
    assert scale is not None
    code = call.attribute("output_dtype", 0)
    dtype = dtype_of(code) if code else torch.uint8 if zero is None else zero.value.dtype
    if dtype.is_floating_point:
        raise call.refuse(f"quantising to {dtype}")
    return encoded(call[0], scale, _along(call, zero), dtype)


@operator("DynamicQuantizeLinear")
def _dynamic_quantize(call: Call) -> list[Masked]:
    return list(dynamic(call[0]))


def dynamic(x: Masked) -> tuple[Masked, Masked, Masked]:
    """Numbers in 255 steps from the least to the largest of them and of 0; scale; zero point.

    Entries that are missing hold 0, so they do not count.
    """
    dtype = wide(x.value)
    value = x.value.to(dtype)
    least, most = value.amin().clamp(max=0), value.amax().clamp(min=0)
    scale = (most - least) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.round((-least / scale).clamp(0, 255)).to(torch.uint8)
    return encoded(x, Masked(scale), Masked(zero), torch.uint8), Masked(scale), Masked(zero)
