"""One file per operator family: what its axes mean, what it costs, what follows when it shrinks."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnxprune.axes.flow import Flow
from onnxprune.axes.rule import Barred, Rule
from onnxprune.graph.graph import Graph
from onnxprune.ops import (  # noqa: F401 - importing a family registers it; keep alphabetical
    attention,
    barred,
    control,
    convolution,
    copies,
    einsum,
    elementwise,
    experts,
    fused_attention,
    fused_barred,
    fused_elementwise,
    fused_normalization,
    fused_products,
    indexing,
    layout,
    linear,
    linear_attention,
    matmul,
    normalization,
    ordered,
    picking,
    pooling,
    quantized,
    quantized_microsoft,
    recurrent,
    reduction,
    resize,
    rotary,
    shape,
    signal,
    slicing,
    vision,
)
from onnxprune.ops.linear import LINEARS, Linear
from onnxprune.ops.patch import Kept, Overlay, Patch
from onnxprune.ops.registry import FLOWS, MACS, PATCHES, RULES, flow, macs, patch, rule
from onnxprune.ops.view import Op, Shape, Unknown

__all__ = [
    "FLOWS",
    "MACS",
    "PATCHES",
    "RULES",
    "Kept",
    "Linear",
    "Op",
    "Overlay",
    "Patch",
    "flow",
    "linear_of",
    "macs",
    "macs_of",
    "operator_name",
    "patch",
    "rule",
    "rules_for",
]

_FLOATS = {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.BFLOAT16}
_UNFIT = (ArithmeticError, LookupError, TypeError, ValueError)


def operator_name(node: ir.Node) -> str:
    """The registered name of a node's operator: ``Conv``, ``com.microsoft::FusedConv``."""
    return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def rules_for(graph: Graph) -> Callable[[ir.Node], Rule | Flow | Barred]:
    """A function that gives what is known of each node of a graph."""

    def rule_of(node: ir.Node) -> Rule | Flow | Barred:
        name = operator_name(node)
        function: Callable[[Op], Rule | Flow | Barred] | None = RULES.find(name) or FLOWS.find(name)
        if function is None:
            return Barred(f"no rule for the operator {name}")
        try:
            return function(Op(node, graph))
        except Unknown as unknown:
            return Barred(str(unknown))
        except _UNFIT:
            return Barred("its attributes, inputs and shapes do not fit its operator")

    return rule_of


def macs_of(
    node: ir.Node, graph: Graph, shape_of: Callable[[ir.Value], Shape | None] | None = None
) -> int:
    """The multiply-accumulates of a node; 0 for operators that do not multiply and sum.

    Args:
        node: The node.
        graph: Its graph.
        shape_of: Gives the shape of a value; the graph's own unless given.
    """
    function = MACS.find(operator_name(node))
    try:
        return 0 if function is None else function(Op(node, graph, shape_of))
    except (Unknown, *_UNFIT):
        return 0


def linear_of(node: ir.Node, graph: Graph) -> Linear | None:
    """A node as a matrix product with a weight of floats, None for one that is none."""
    function = LINEARS.find(operator_name(node))
    try:
        if function is None:
            return None
        found, initializers = function(Op(node, graph)), graph.initializers.values()
        weight = node.inputs[found.weight]
        own = weight is not None and weight.const_value is not None and weight in set(initializers)
        floats = own and weight is not None and weight.dtype in _FLOATS
        return (
            found if floats and not any(dim.dynamic for dim in Op(node, graph).shape(1)) else None
        )
    except (Unknown, *_UNFIT):
        return None
