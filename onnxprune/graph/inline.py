"""Replace calls of a model's own functions by the functions' bodies."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from onnxprune.errors import LoadError

__all__ = ["inline"]

logger = logging.getLogger(__name__)

_MOST_NODES = 1_000_000


def inline(model: ir.Model) -> ir.Model:
    """Inline all functions of a model.

    Args:
        model: The model, changed in place.

    Returns:
        The model; as it was when a function cannot be inlined, so that its calls are unknown
        operators to whoever reads the graph.

    Raises:
        LoadError: If functions call themselves, or one another so often that the graph would have
            more than a million nodes.
    """
    if not model.functions:
        return model
    count = _expanded(model)
    if count > _MOST_NODES:
        raise LoadError(
            f"the functions of the model unfold into {count:,} nodes; at most {_MOST_NODES:,} are "
            "supported"
        )
    attempt = model.clone()
    try:
        InlinePass()(attempt)
    except Exception as error:
        logger.warning("functions are left as calls: %s", error.__cause__ or error)
        return model
    attempt.functions.clear()
    return attempt


def _expanded(model: ir.Model) -> int:
    """Count the nodes that a model has once its functions are inlined."""
    sizes: dict[ir.OperatorIdentifier, int] = {}
    active: set[ir.OperatorIdentifier] = set()

    def size(nodes: ir.Graph | ir.Function) -> int:
        total = 0
        for node in nodes.all_nodes():
            key = node.op_identifier()
            total += 1 if key not in model.functions else called(key)
        return total

    def called(key: ir.OperatorIdentifier) -> int:
        if key in active:
            raise LoadError(f"the function {key[0]}::{key[1]} of the model calls itself")
        if key not in sizes:
            active.add(key)
            sizes[key] = size(model.functions[key])
            active.discard(key)
        return sizes[key]

    return size(model.graph)
