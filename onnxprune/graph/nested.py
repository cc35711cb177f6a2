"""What is inside of a node, read without trusting it."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["constant", "graphs_of", "integer", "integers"]


def graphs_of(attribute: ir.Attr) -> list[ir.Graph]:
    """Return the graphs that an attribute holds, usually none."""
    if attribute.is_ref():
        return []
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    if attribute.type == ir.AttributeType.GRAPHS:
        return list(attribute.as_graphs())
    return []


def constant(value: ir.Value) -> ir.TensorProtocol | None:
    """Return the tensor that a value is known to be, None also for an ill-formed ``Constant``."""
    try:
        return ir.convenience.get_const_tensor(value)
    except (ValueError, TypeError):
        return None


def integer(node: ir.Node, name: str) -> int | None:
    """Return an integer attribute of a node, None if it has none of that name and type."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.is_ref() or attribute.type != ir.AttributeType.INT:
        return None
    return attribute.as_int()


def integers(node: ir.Node, name: str) -> tuple[int, ...]:
    """Return the integers of an attribute of a node, none if it has none of that name and type."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.is_ref() or attribute.type != ir.AttributeType.INTS:
        return ()
    return tuple(attribute.as_ints())
