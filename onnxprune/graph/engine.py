"""Walk a graph once and infer the shapes of every node's outputs.

The rules are those of onnx-shape-inference, which are symbolic. Its own driver stops at the first
node that a rule cannot digest; here that costs the shapes of that node's outputs only, and onnx's
own rule for the operator is asked instead.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxprune.graph import fallback, loops
from onnxprune.graph.corrections import correct
from onnxprune.graph.elements import tell_elements
from onnxprune.graph.expressions import manageable
from onnxprune.graph.guards import MOST_RANK, distrusted, implausible, lengthy, misled
from onnxprune.graph.supplements import supplement

if TYPE_CHECKING:
    from onnx_shape_inference import OpShapeInferenceRegistry, ShapeInferenceContext

__all__ = ["run"]

logger = logging.getLogger(__name__)

_INT64 = range(-(2**63), 2**63)


def run(model: ir.Model) -> None:
    """Infer the shapes of a model in place, as far as its nodes' rules can tell them.

    Args:
        model: A model whose nodes are in topological order and whose computed values carry no
            shapes.
    """
    from onnx_shape_inference import ShapeInferenceContext, registry

    registry.collect()
    context = ShapeInferenceContext(model.opset_imports, policy="refine")
    sizes = {
        str(size)
        for graph in model.graphs()
        for value in graph.inputs
        for size in value.shape or ()
        if isinstance(size, ir.SymbolicDim)
    }
    context.reserve_symbol_names(sizes)
    _Walk(model, context, registry, sizes).graph(model.graph)


class _Walk:
    """One pass over a model."""

    def __init__(
        self,
        model: ir.Model,
        context: ShapeInferenceContext,
        registry: OpShapeInferenceRegistry,
        sizes: Set[str],
    ) -> None:
        self._model = model
        self._context = context
        self._registry = registry
        self._sizes = sizes

    def graph(self, graph: ir.Graph) -> None:
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())
        for value in graph.inputs:
            self._context.name_anonymous_dims(value)
        for node in graph:
            try:
                self._node(node)
            except Exception as error:
                logger.info("no shape for node %r: %s", node.name, error)
                for value in node.outputs:
                    value.shape = None

    def _node(self, node: ir.Node) -> None:
        bodies = loops.bodies(node)
        for body in bodies:
            loops.bind(node, body)
            self.graph(body)
        if not (implausible(node) or misled(node)):
            answered = not (lengthy(node) or distrusted(node)) and self._apply_rule(node)
            answered = answered and all(value.shape is not None for value in node.outputs)
            if not answered and not bodies:
                fallback.ask(node, self._model)
            supplement(self._context, node)
            tell_elements(self._context, node, self._sizes)
        for body in bodies:
            loops.settle(node, body)
        for value in node.outputs:
            self._context.name_anonymous_dims(value)
            self._tame(value)

    def _apply_rule(self, node: ir.Node) -> bool:
        context = self._context
        version = context.get_opset_version(node.domain)
        rule = self._registry.get(node.domain, node.op_type, version)
        if rule is None:
            return False
        try:
            rule(context, node)
            correct(context, node)
        except Exception as error:
            logger.info("no shape from the rule of node %r: %s", node.name, error)
            for value in node.outputs:
                value.shape = None
            return False
        return True

    def _tame(self, value: ir.Value) -> None:
        """Forget sizes and numbers that grew beyond use, before they grow beyond memory."""
        context = self._context
        if value.shape is not None and len(value.shape) > MOST_RANK:
            value.shape = None
        if value.shape is not None and not all(_sane(size) for size in value.shape):
            value.shape = ir.Shape(
                size if _sane(size) else context.new_symbolic_dim() for size in value.shape
            )
        items = context.get_symbolic_value(value) if value.producer() is not None else None
        if items is not None and not all(_sane(item) for item in items):
            value.const_value = None
            context.set_symbolic_value(
                value, [item if _sane(item) else context.new_symbolic_dim() for item in items]
            )


def _sane(size: int | ir.SymbolicDim) -> bool:
    if isinstance(size, int):
        return size in _INT64
    return size.value is None or manageable(size.value)
