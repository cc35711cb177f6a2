"""Shapes, and sizes as numbers, that neither onnx-shape-inference nor onnx itself can tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxprune.graph.contributed import CONTRIBUTED, contributed
from onnxprune.graph.fallback import merge
from onnxprune.graph.nested import constant, integer

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["supplement"]

_Size = int | ir.SymbolicDim | None


def supplement(context: ShapeInferenceContext, node: ir.Node) -> None:
    """Add to what is known of a node's result what can be told of it here.

    Args:
        context: The run of the shape inference.
        node: A node that all other rules have been applied to.
    """
    if node.op_type == "ReduceProd" and node.domain == "":
        _multiply(context, node)
    rule = contributed if node.domain == CONTRIBUTED else _RULES.get(_name(node))
    if rule is None or not node.inputs or node.inputs[0] is None:
        return
    sizes = rule(context, node)
    if sizes is not None:
        node.outputs[0].shape = merge(ir.Shape(sizes), node.outputs[0].shape)


def _name(node: ir.Node) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def _multiply(context: ShapeInferenceContext, node: ir.Node) -> None:
    """The product of a vector of sizes, which tf2onnx writes into the target of a Reshape."""
    value = node.inputs[0] if node.inputs else None
    if value is None or value.shape is None or len(value.shape) != 1:
        return
    sizes = context.get_symbolic_value(value)
    if not sizes or any(size is None for size in sizes) or integer(node, "noop_with_empty_axes"):
        return
    product: int | ir.SymbolicDim = 1
    for size in sizes:
        product = size * product if isinstance(size, ir.SymbolicDim) else product * size
    context.set_symbolic_value(node.outputs[0], [product])


def _like(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    value, result = node.inputs[0], node.outputs[0]
    if value is None or value.shape is None:
        return None
    result.type = result.type or value.type
    return list(value.shape)


def _pixels(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    """Some of the pixels of an image."""
    shape = _like(context, node)
    return None if shape is None else [*shape[:2], *[None] * len(shape[2:])]


def _filled(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    value = node.inputs[0]
    sizes: Sequence[_Size] | None = None if value is None else context.get_symbolic_value(value)
    return sizes


def _scaled(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    """The older forms: Upsample with an attribute, Resize without a region of interest."""
    shape, scales = _like(context, node), _scales(context, node)
    if shape is None or scales is None or len(shape) != len(scales):
        return None
    return [_times(size, scale) for size, scale in zip(shape, scales, strict=True)]


def _scales(context: ShapeInferenceContext, node: ir.Node) -> Sequence[float] | None:
    attribute = node.attributes.get("scales")
    if attribute is not None and attribute.type == ir.AttributeType.FLOATS:
        return list(attribute.as_floats())
    if context.get_opset_version("") > 10 or len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    tensor = constant(node.inputs[1])
    return None if tensor is None else [float(scale) for scale in tensor.numpy().reshape(-1)]


def _times(size: _Size, scale: float) -> _Size:
    if scale == 1 or size is None:
        return size
    if isinstance(size, int):
        sizes = {math.floor(size * scale), math.floor(np.float32(size) * np.float32(scale))}
        return sizes.pop() if len(sizes) == 1 else None  # rounding decides
    return size * int(scale) if scale == int(scale) else None


def _cut(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    """The axes that a Slice leaves alone keep their sizes, whatever its bounds."""
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    tensor = None if axes is None else constant(axes)
    shape, known = _like(context, node), node.outputs[0].shape
    if shape is None or tensor is None or (known is not None and len(known) != len(shape)):
        return None
    cut = {int(axis) % len(shape) for axis in tensor.numpy().reshape(-1)}
    sizes = [None] * len(shape) if known is None else list(known)
    return [sizes[i] if i in cut else size for i, size in enumerate(shape)]


def _reshaped(context: ShapeInferenceContext, node: ir.Node) -> Sequence[_Size] | None:
    """One unknown size before and one after are the same where all others multiply to the same."""
    before, after = node.inputs[0], node.outputs[0].shape
    if before is None or before.shape is None or after is None:
        return None
    symbols = [[n for n in shape if not isinstance(n, int)] for shape in (before.shape, after)]
    static = [math.prod(n for n in shape if isinstance(n, int)) for shape in (before.shape, after)]
    if any(len(found) != 1 for found in symbols) or static[0] != static[1] or not static[0]:
        return None
    return [n if isinstance(n, int) else symbols[0][0] for n in after]


_RULES: dict[str, Callable[[ShapeInferenceContext, ir.Node], Sequence[_Size] | None]] = {
    "Affine": _like,
    "ConstantOfShape": _filled,
    "Crop": _pixels,
    "GroupNormalization": _like,
    "LayerNormalization": _like,
    "MemcpyFromHost": _like,
    "MemcpyToHost": _like,
    "ParametricSoftplus": _like,
    "Reshape": _reshaped,
    "Resize": _scaled,
    "Scale": _like,
    "ScaledTanh": _like,
    "Slice": _cut,
    "Upsample": _scaled,
    "ai.onnx.ml::Normalizer": _like,
}
