"""Tensors out of nothing; all their entries are copies and follow what they meet."""

from __future__ import annotations

import torch

from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import whole
from onnxprune.torch.tensors import dtype_of


def _everywhere(value: torch.Tensor) -> Masked:
    return Masked(value, None, frozenset(a for a, size in enumerate(value.shape) if size > 1))


@operator("ConstantOfShape")
def _constant_of_shape(call: Call) -> Masked:
    number = call.attribute("value")
    number = torch.zeros(()) if number is None else number.reshape(())
    shape = [int(size) for size in call.setting(0).tolist()]
    return _everywhere(number.expand(shape).clone())


@operator("Range")
def _range(call: Call) -> Masked:
    start, limit, delta = (call.setting(i).reshape(()) for i in range(3))
    dtype = start.dtype
    value = torch.arange(start.item(), limit.item(), delta.item(), dtype=dtype)
    return _everywhere(value)


@operator("EyeLike")
def _eye_like(call: Call) -> Masked:
    x = whole(call[0], range(2), "of which the diagonal is told by position")
    code = call.attribute("dtype")
    value = torch.zeros(x.value.shape, dtype=x.value.dtype if code is None else dtype_of(code))
    value.diagonal(call.attribute("k", 0)).fill_(1)
    return Masked(value, x.levels, x.born)
