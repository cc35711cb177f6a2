"""What element types are used for."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["is_weight", "may_shrink"]


def may_shrink(dtype: ir.DataType | None) -> bool:
    """Whether a constant of this type may lose indices like a weight.

    Floating point numbers may, and integers of up to 32 bits: quantised weights, zero points and
    biases. Integers of 64 bits and booleans spell out shapes, positions and masks.
    """
    if dtype is None or dtype == ir.DataType.STRING:
        return False
    return dtype.is_floating_point() or (dtype.is_integer() and dtype.bitwidth <= 32)


def is_weight(dtype: ir.DataType | None) -> bool:
    """Whether elements of this type count as parameters: floats, and integers of up to 16 bits."""
    if dtype is None or not may_shrink(dtype):
        return False
    return dtype.is_floating_point() or dtype.bitwidth <= 16
