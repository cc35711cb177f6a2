"""Shapes, and entries that change place without being touched."""

from __future__ import annotations

from math import prod

import torch

from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import permute, reshape


@operator("Shape")
def _shape(call: Call) -> Masked:
    start, end = call.attribute("start", 0), call.attribute("end")
    return Masked(torch.tensor(list(call[0].shape)[start:end], dtype=torch.int64))


@operator("Size")
def _size(call: Call) -> Masked:
    return Masked(torch.tensor(prod(call[0].shape), dtype=torch.int64))


@operator("Identity")
def _identity(call: Call) -> Masked:
    return call[0]


@operator("Dropout")
def _dropout(call: Call) -> list[Masked]:
    training = call.optional_setting(2)
    if training is not None and bool(training):
        ratio = call.optional_setting(1)
        if ratio is None or float(ratio) != 0:
            raise call.refuse("training mode is random")
    everything = torch.ones_like(call.tensor(0), dtype=torch.bool)
    mask = everything if call.opset >= 10 else everything.to(call.tensor(0).dtype)
    return [call[0], Masked(mask, call[0].levels, call[0].born)]


@operator("Reshape")
def _reshape(call: Call) -> Masked:
    x = call[0]
    sizes = call.integers("shape", 1) or []
    if not call.attribute("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    elif 0 in sizes and -1 not in sizes:
        return Masked(x.value.reshape(sizes))
    return reshape(x, sizes)


@operator("Flatten")
def _flatten(call: Call) -> Masked:
    x = call[0]
    axis = call.attribute("axis", 1)
    axis = axis + x.value.ndim if axis < 0 else axis
    return reshape(x, [prod(x.shape[:axis]), prod(x.shape[axis:])])


@operator("Squeeze")
def _squeeze(call: Call) -> Masked:
    x = call[0]
    axes = call.integers("axes", 1)
    if axes is None:
        gone = {a for a, size in enumerate(x.shape) if size == 1}
    else:
        gone = {a % x.value.ndim for a in axes}
    return reshape(x, [size for a, size in enumerate(x.shape) if a not in gone])


@operator("Unsqueeze")
def _unsqueeze(call: Call) -> Masked:
    x = call[0]
    axes = call.integers("axes", 1) or []
    rank = x.value.ndim + len(axes)
    new = {a % rank for a in axes}
    sizes = iter(x.shape)
    return reshape(x, [1 if a in new else next(sizes) for a in range(rank)])


@operator("Transpose")
def _transpose(call: Call) -> Masked:
    x = call[0]
    order = call.attribute("perm") or range(x.value.ndim)[::-1]
    return permute(x, list(order))


@operator("DepthToSpace")
def _depth_to_space(call: Call) -> Masked:
    x, b = call[0], call.attribute("blocksize")
    n, c, h, w = x.shape
    if call.attribute("mode", "DCR") == "DCR":
        x = permute(reshape(x, [n, b, b, c // (b * b), h, w]), [0, 3, 4, 1, 5, 2])
    else:
        x = permute(reshape(x, [n, c // (b * b), b, b, h, w]), [0, 1, 4, 2, 5, 3])
    return reshape(x, [n, c // (b * b), h * b, w * b])


@operator("SpaceToDepth")
def _space_to_depth(call: Call) -> Masked:
    x, b = call[0], call.attribute("blocksize")
    n, c, h, w = x.shape
    x = reshape(x, [n, c, h // b, b, w // b, b])
    if call.attribute("mode", "DCR") == "DCR":
        x = permute(x, [0, 3, 5, 1, 2, 4])
    else:
        x = permute(x, [0, 1, 3, 5, 2, 4])
    return reshape(x, [n, c * b * b, h // b, w // b])
