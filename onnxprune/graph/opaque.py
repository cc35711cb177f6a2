"""Nodes of which no rule tells the shapes of the results: only the model's author can."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.graph.contributed import CONTRIBUTED, known

__all__ = ["opaque"]

_LATEST = 1 << 20


def opaque(node: ir.Node | None) -> bool:
    """Tell whether a node is of an operator that symbolic shape inference does not know.

    Args:
        node: The node; None for what no node computes.
    """
    from onnx_shape_inference import registry

    if node is None or node.domain == "":
        return False
    if node.domain == CONTRIBUTED and known(node.op_type):
        return False
    registry.collect()
    return registry.get(node.domain, node.op_type, _LATEST) is None
