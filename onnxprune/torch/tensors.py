"""Between numpy, ONNX and torch: element types and arrays."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from onnxprune.torch.errors import UnsupportedOperator

__all__ = ["dtype_of", "to_numpy", "to_torch"]

_DTYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.UINT16: torch.uint16,
    ir.DataType.UINT32: torch.uint32,
    ir.DataType.UINT64: torch.uint64,
    ir.DataType.BOOL: torch.bool,
    ir.DataType.COMPLEX64: torch.complex64,
    ir.DataType.COMPLEX128: torch.complex128,
}


def dtype_of(code: int) -> torch.dtype:
    """The torch type of an ONNX element type."""
    try:
        return _DTYPES[ir.DataType(code)]
    except KeyError:
        raise UnsupportedOperator(f"element type {ir.DataType(code).name}") from None


def onnx_code(dtype: torch.dtype) -> int:
    """The ONNX element type of a torch type."""
    return next(int(code) for code, known in _DTYPES.items() if known == dtype)


def to_torch(array: np.ndarray) -> Tensor:
    """A copy of an array as a tensor; what is narrower than 8 bits, or a float of 8, is widened."""
    array = np.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.name in ("int2", "int4", "uint2", "uint4"):
        array = array.astype(np.int8 if array.dtype.name[0] == "i" else np.uint8)
    if array.dtype.name.startswith(("float8", "float4")):
        array = array.astype(np.float32)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.tensor(array)
    except TypeError:
        raise UnsupportedOperator(f"element type {array.dtype}") from None


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as an array."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor.numpy())
