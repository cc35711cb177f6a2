"""Correct what onnx-shape-inference is known to say wrongly about sizes that are symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxprune.graph.expressions import without_ceiling
from onnxprune.graph.nested import integer

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["correct"]

_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_TO_THE_END = (2**31 - 1, 2**63 - 1)


def correct(context: ShapeInferenceContext, node: ir.Node) -> None:
    """Correct the shapes of a node's outputs.

    Args:
        context: The run of the shape inference.
        node: A node that its rule has been applied to.
    """
    if node.domain != "" or not node.inputs or node.inputs[0] is None or not node.outputs:
        return
    data, output = node.inputs[0].shape, node.outputs[0].shape
    if data is None or output is None or len(data) != len(output):
        return
    if node.op_type == "Slice" and len(node.inputs) > 2:
        _correct_slice(context, node, data, output)
    elif node.op_type in _POOLS and integer(node, "ceil_mode"):
        _correct_pool(context, node, output)


def _correct_pool(context: ShapeInferenceContext, node: ir.Node, output: ir.Shape) -> None:
    """Leave open what the rule forgets: a last window that starts in the padding is dropped."""
    sizes = [
        context.new_symbolic_dim() if axis > 1 and isinstance(size, ir.SymbolicDim) else size
        for axis, size in enumerate(output)
    ]
    for value in node.outputs:
        value.shape = ir.Shape(sizes)


def _correct_slice(
    context: ShapeInferenceContext, node: ir.Node, data: ir.Shape, output: ir.Shape
) -> None:
    """Bound ``x[start:end]`` by the axis.

    The rule takes for granted that the end is within the axis, and so reads a customary way to
    say "to the end", such as 1,000,000,000, as the size of the result. What goes backwards to the
    first element loses that one, where the rule tells elements.
    """
    starts, ends, axes, steps = (_integers(context, node, index) for index in range(1, 5))
    if starts is None or ends is None:
        return
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    sizes = list(output)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = data[axis]
        if isinstance(size, int):
            sizes[axis] = len(_picked(size, start, end, step))
        elif isinstance(sizes[axis], int):
            sizes[axis] = _length(context, size, start, end, step)
        elif (start, end) != (0, abs(end)) and sizes[axis] == size:
            sizes[axis] = context.new_symbolic_dim()
    node.outputs[0].shape = ir.Shape(sizes)
    given = node.inputs[0]
    items = context.get_symbolic_value(given) if given is not None and len(data) == 1 else None
    if items is not None and len(starts) == 1:
        places = _picked(len(items), starts[0], ends[0], steps[0])
        node.outputs[0].const_value = None
        context.set_symbolic_value(node.outputs[0], [items[place] for place in places])


def _picked(size: int, start: int, end: int, step: int) -> range:
    """The indices of an axis that a slice takes, bounded by it.

    Backwards to the largest integer is to the first index: so onnxruntime reads it.
    """
    if size == 0 or step == 0:
        return range(0)
    last = size if step > 0 else size - 1
    first = max(0, min(start + size if start < 0 else start, last))
    stop = max(0 if step > 0 else -1, min(end + size if end < 0 else end, last))
    return range(first, -1 if step < 0 and end in _TO_THE_END else stop, step)


def _length(
    context: ShapeInferenceContext, size: ir.SymbolicDim, start: int, end: int, step: int
) -> int | ir.SymbolicDim:
    if size.value is None or min(start, end) < 0 or step < 1:
        unknown: ir.SymbolicDim = context.new_symbolic_dim()
        return unknown
    axis = without_ceiling(size.value)
    text = f"Max(0, floor((Min({axis}, {end}) - {start} + {step - 1}) / {step}))"
    # Arithmetic brings an expression into canonical form, and may leave no symbol in it.
    length: ir.SymbolicDim = ir.SymbolicDim(text) + 0
    return length if length.free_symbols() else int(str(length))


def _integers(context: ShapeInferenceContext, node: ir.Node, index: int) -> list[int] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    items = context.get_symbolic_value(value) if value is not None else None
    if items is None or not all(isinstance(item, int) for item in items):
        return None
    return [int(item) for item in items]
