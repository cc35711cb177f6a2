"""Softmax and its relatives, over what is present."""

from __future__ import annotations

import torch

from onnxprune.torch.masked import Masked, fill
from onnxprune.torch.operators.reduction import lowest
from onnxprune.torch.registry import Call, operator


@operator("Softmax", "LogSoftmax", "Hardmax")
def _softmax(call: Call) -> Masked:
    x = call[0]
    shape = x.value.shape
    axis = call.attribute("axis", -1 if call.opset >= 13 else 1)
    axis = axis + x.value.ndim if axis < 0 else axis
    last = axis + 1 if call.opset >= 13 else x.value.ndim
    axes = range(axis, last)
    value = fill(x.value, x.levels, lowest(x.value.dtype)) if x.varies(axes) else x.value
    if last - axis != 1:  # old versions see a matrix, split at the axis
        value = value.flatten(axis) if axis < value.ndim else value.unsqueeze(-1)
    if call.operator == "Softmax":
        value = torch.softmax(value, axis)
    elif call.operator == "LogSoftmax":
        value = torch.log_softmax(value, axis)
    else:
        first = value.argmax(axis, keepdim=True)
        value = torch.zeros_like(value).scatter(axis, first, 1.0)
    return Masked(fill(value.reshape(shape), x.levels), x.levels, x.born - set(axes))
