"""Slice of an axis of unknown size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["infer_slice"]


def infer_slice(context: ShapeInferenceContext, node: ir.Node) -> None:
    """Correct what onnx-shape-inference says about ``x[start:end]`` when the size is a symbol.

    It takes for granted that the end is within the axis, and so reads a customary way to say "to
    the end", such as 1,000,000,000, as the size of the result. The result is as long as the axis
    allows.

    Args:
        context: The run of the shape inference.
        node: A Slice, of the version with ``starts`` and ``ends`` as inputs, whose output has the
            shape to correct.
    """
    data, output = node.inputs[0], node.outputs[0]
    if data is None or data.shape is None or output.shape is None:
        return
    if len(node.inputs) < 3 or len(data.shape) != len(output.shape):
        return
    starts, ends, axes, steps = (_integers(context, node, index) for index in range(1, 5))
    if starts is None or ends is None:
        return
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    sizes = list(output.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = data.shape[axis]
        if isinstance(size, ir.SymbolicDim) and isinstance(sizes[axis], int):
            sizes[axis] = _length(context, size, start, end, step)
    output.shape = ir.Shape(sizes)


def _length(
    context: ShapeInferenceContext, size: ir.SymbolicDim, start: int, end: int, step: int
) -> int | ir.SymbolicDim:
    if size.value is None or min(start, end) < 0 or step < 1:
        unknown: ir.SymbolicDim = context.new_symbolic_dim()
        return unknown
    text = f"Max(0, floor((Min({size.value}, {end}) - {start} + {step - 1}) / {step}))"
    # Arithmetic brings an expression into canonical form, and may leave no symbol in it.
    length: ir.SymbolicDim = ir.SymbolicDim(text) + 0
    return length if length.free_symbols() else int(str(length))


def _integers(context: ShapeInferenceContext, node: ir.Node, index: int) -> list[int] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    items = context.get_symbolic_value(value) if value is not None else None
    if items is None or not all(isinstance(item, int) for item in items):
        return None
    return [int(item) for item in items]
