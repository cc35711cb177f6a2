"""Nodes that a shape rule must not be given, because it would take their claims at face value."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.graph.nested import integer

__all__ = ["MOST_RANK", "distrusted", "implausible", "lengthy", "misled"]

MOST_RANK = 64
"""Axes that a tensor may have; numpy allows no more either."""

_MOST_ELEMENTS = 1024


def implausible(node: ir.Node) -> bool:
    """Tell whether a node claims a number of things that nobody has.

    Rules make lists of as many items as a node says it has outputs, inputs to scan, or axes.

    Args:
        node: The node; shapes of its inputs are known as far as they will be.

    Returns:
        Whether the node contradicts itself or asks for an absurd rank; its shape is unknown then.
    """
    if node.op_type == "Split":
        count = integer(node, "num_outputs")
        return count is not None and count != len(node.outputs)
    if node.op_type == "Scan":
        count = integer(node, "num_scan_inputs")
        return count is None or not 0 <= count <= len(node.inputs)
    if node.op_type == "ConstantOfShape":
        return any(_count(value) > MOST_RANK for value in node.inputs)
    if node.op_type in ("Reshape", "Expand", "Tile", "Resize", "Upsample", "Unsqueeze", "Pad"):
        return any(_count(value) > 2 * MOST_RANK for value in node.inputs[1:])
    return False


def _count(value: ir.Value | None) -> int:
    """Return how many elements an operand is known to have, 0 if it is not."""
    if value is not None and value.const_value is not None:
        return value.const_value.size
    return _length(value)


_POOLS = {"QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean"}


def distrusted(node: ir.Node) -> bool:
    """Tell whether onnx-shape-inference is known to be wrong about a node.

    It takes an operand of which it knows nothing, or only at run time, for one that is not there:
    an Expand of anything for one of a scalar, a Split into given parts for one into equal parts, a
    Squeeze of given axes for one of all. And it forgets the axis of a Unique, that a Resize may
    keep the aspect ratio, that a FusedMatMul may have its batch inside of a matrix, and that
    quantised poolings change sizes. Elements of vectors it takes for whole numbers of any size.
    """
    if node.op_type in _POOLS:
        return True
    if _shapeless(node):
        return True
    if node.op_type == "FusedMatMul":
        return any(integer(node, f"transBatch{operand}") for operand in "AB")
    if node.domain != "":
        return False
    if node.op_type in ("Split", "Squeeze"):
        operand = node.inputs[1] if len(node.inputs) > 1 else None
        return operand is not None and operand.const_value is None
    if node.op_type == "Resize":
        policy = node.attributes.get("keep_aspect_ratio_policy")
        return policy is not None and policy.value != "stretch"
    if node.op_type in ("Cast", "Div") and all(map(_is_flat, node.inputs)):
        return _leaves_whole_numbers(node)
    return node.op_type == "Unique" and "axis" in node.attributes


_WIDE = {ir.DataType.DOUBLE, ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64}
"""What holds every size there is."""


def _leaves_whole_numbers(node: ir.Node) -> bool:
    """Whether a division may have a rest, or a cast into what does not hold all numbers."""
    if node.op_type == "Cast":
        return integer(node, "to") not in _WIDE
    return any(v is not None and v.dtype not in _WHOLE for v in node.inputs)


_WHOLE = {ir.DataType.INT32, ir.DataType.INT64}


def _is_flat(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and len(value.shape) < 2


def misled(node: ir.Node) -> bool:
    """Tell whether onnx itself, too, takes an operand of unknown rank for an absent one."""
    return node.domain == "" and node.op_type in ("Attention", "Slice") and _shapeless(node)


def _shapeless(node: ir.Node) -> bool:
    return any(value is not None and value.shape is None for value in node.inputs)


def lengthy(node: ir.Node) -> bool:
    """Tell whether a node joins vectors that are too long to keep account of each element."""
    return node.op_type == "Concat" and sum(map(_length, node.inputs)) > _MOST_ELEMENTS


def _length(value: ir.Value | None) -> int:
    """Return the size of a vector, 0 for anything else."""
    if value is None or value.shape is None or len(value.shape) != 1:
        return 0
    size = value.shape[0]
    return size if isinstance(size, int) else 0
