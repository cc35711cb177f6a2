"""Shapes on the border between a control flow node and its nested graphs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxprune.graph.names import Namer, value_names
from onnxprune.graph.nested import graphs_of, integer, integers

__all__ = ["SYM_DATA_KEY", "bind", "bodies", "say_conditions", "settle"]

SYM_DATA_KEY = "pkg.onnx_shape_inference.sym_data"
"""Where onnx-shape-inference leaves the elements of shape tensors."""

_BOUND = "onnxprune.bound"
"""Key of ``Value.meta``: the shape of an input of a body is that of what it is fed."""


def bodies(node: ir.Node) -> list[ir.Graph]:
    """Return the nested graphs of a node."""
    return [graph for attribute in node.attributes.values() for graph in graphs_of(attribute)]


def say_conditions(model: ir.Model) -> None:
    """Give a true condition to each Loop that has none, which means the same.

    Args:
        model: The model, changed in place. onnx-shape-inference takes the input for a required one.
    """
    loops = [n for n in model.graph.all_nodes() if n.op_type == "Loop" and n.domain == ""]
    bare = [node for node in loops if len(node.inputs) > 1 and node.inputs[1] is None]
    if not bare:
        return
    true = ir.tensor(np.array(True), name=Namer(value_names(model)).unique("true"))
    value = ir.Value(
        name=true.name, shape=ir.Shape([]), type=ir.TensorType(true.dtype), const_value=true
    )
    model.graph.register_initializer(value)
    for node in bare:
        node.replace_input_with(1, value)


def bind(node: ir.Node, body: ir.Graph) -> None:
    """Tell the inputs of a Loop's or Scan's body what the node is fed.

    Args:
        node: The node.
        body: Its body; inputs that have no shape of their own get one, and those of another size
            than they are fed none: no runtime holds an author to what is declared here.
    """
    for outer, inner, axis in _fed(node, body):
        if inner.type is None:
            inner.type = outer.type
        if outer.shape is None:
            continue
        sizes = list(outer.shape)
        if axis is not None and -len(sizes) <= axis < len(sizes):
            del sizes[axis]
        if inner.shape is None:
            inner.shape = ir.Shape(sizes)
            inner.meta[_BOUND] = True
        elif len(inner.shape) != len(sizes) or any(
            isinstance(a, int) and isinstance(b, int) and a != b
            for a, b in zip(inner.shape, sizes, strict=True)
        ):
            inner.shape = _common(inner.shape, ir.Shape(sizes))


def settle(node: ir.Node, body: ir.Graph) -> None:
    """Give up shapes that do not survive an iteration, like that of a list that grows.

    Args:
        node: A node whose output shapes have been inferred from one pass over its body.
        body: The body.
    """
    offset = _results_before_state(node)
    varies = False
    for index, (_, inner, axis) in enumerate(_fed(node, body)):
        if axis is not None or index + offset >= len(body.outputs):
            continue
        result = body.outputs[index + offset]
        if inner.shape is None or inner.shape == result.shape:
            continue
        varies = True
        inner.shape = _common(inner.shape, result.shape)
        if index < len(node.outputs):
            node.outputs[index].shape = inner.shape
    if varies:
        _forget(body)


def _forget(body: ir.Graph) -> None:
    """Forget what was told of the values inside of a body, and of bodies inside of it."""
    for node in body.all_nodes():
        for value in node.outputs:
            value.shape = None
            value.const_value = None
            value.metadata_props.pop(SYM_DATA_KEY, None)
        for value in (value for inner in bodies(node) for value in inner.inputs):
            if value.meta.get(_BOUND):
                value.shape = None


def _common(first: ir.Shape, second: ir.Shape | None) -> ir.Shape | None:
    if second is None or len(first) != len(second):
        return None
    return ir.Shape(a if a == b else None for a, b in zip(first, second, strict=True))


def _results_before_state(node: ir.Node) -> int:
    return 1 if node.op_type == "Loop" else 0  # a Loop's body returns first whether to go on


def _fed(node: ir.Node, body: ir.Graph) -> list[tuple[ir.Value, ir.Value, int | None]]:
    """Pair what goes into a node with the inputs of its body.

    Returns:
        Outer value, inner value, and the axis that a Scan takes slices of; the state comes first.
    """
    if node.domain != "" or node.op_type not in ("Loop", "Scan"):
        return []
    if node.op_type == "Loop":
        pairs = zip(node.inputs[2:], body.inputs[2:], strict=False)
        return [(outer, inner, None) for outer, inner in pairs if outer is not None]
    states = len(node.inputs) - (integer(node, "num_scan_inputs") or 0)
    axes = integers(node, "scan_input_axes")
    fed = []
    for index, (outer, inner) in enumerate(zip(node.inputs, body.inputs, strict=False)):
        if outer is not None:
            scanned = index - states
            axis = None if scanned < 0 else axes[scanned] if scanned < len(axes) else 0
            fed.append((outer, inner, axis))
    return fed
