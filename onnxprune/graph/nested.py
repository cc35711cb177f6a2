"""Graphs inside of nodes."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["graphs_of"]


def graphs_of(attribute: ir.Attr) -> list[ir.Graph]:
    """Return the graphs that an attribute holds, usually none."""
    if attribute.is_ref():
        return []
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    if attribute.type == ir.AttributeType.GRAPHS:
        return list(attribute.as_graphs())
    return []
