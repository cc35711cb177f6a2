"""In which order a graph runs, and when its values are no longer needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from torch import Tensor

from onnxprune.torch.errors import UnsupportedOperator
from onnxprune.torch.tensors import to_torch

__all__ = ["Plan", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One node.

    Attributes:
        node: The node.
        opset: The version of its operator set.
        attributes: Its attributes, as Python values and tensors.
        blocks: Its graphs, by attribute.
        dead: The values nobody needs after it.
    """

    node: ir.Node
    opset: int
    attributes: Mapping[str, Any]
    blocks: Mapping[str, Plan]
    dead: tuple[ir.Value, ...]

    def __str__(self) -> str:
        return f"{self.node.op_type} node {self.node.name or '(unnamed)'!r}, opset {self.opset}"


@dataclass(slots=True)
class Plan:
    """How to run a graph.

    Attributes:
        steps: Its nodes but for constants, in order.
        constants: Its initializers and what its Constant nodes hold, those of inner graphs too.
        inputs: What it is given.
        outputs: What it results in.
    """

    inputs: list[ir.Value]
    outputs: list[ir.Value]
    steps: list[Step] = field(default_factory=list)
    constants: dict[ir.Value, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: ir.Graph, opsets: Mapping[str, int]) -> Plan:
        """The plan of a graph."""
        plan = cls(list(graph.inputs), list(graph.outputs))
        for value in graph.initializers.values():
            if value.const_value is not None:
                plan.constants[value] = to_torch(value.const_value.numpy())
        nodes = []
        for node in graph:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                plan.constants[node.outputs[0]] = _constant(node)
            else:
                nodes.append(node)
        last = {value: i for i, node in enumerate(nodes) for value in _used(node)}
        last |= {value: len(nodes) for value in plan.outputs}
        for position, node in enumerate(nodes):
            blocks = {name: cls.of(inner, opsets) for name, inner in _graphs(node)}
            for block in blocks.values():
                plan.constants |= block.constants
            values = {*_used(node), *node.outputs}
            dead = tuple(v for v in values if last.get(v, position) == position)
            version = node.version or opsets.get(node.domain) or opsets.get("", 1)
            plan.steps.append(Step(node, version, _attributes(node), blocks, dead))
        return plan


def _graphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    for name, attribute in node.attributes.items():
        if attribute.type == ir.AttributeType.GRAPH:
            yield name, attribute.as_graph()


def _used(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, also inside its graphs."""
    yield from (value for value in node.inputs if value is not None)
    for _, graph in _graphs(node):
        yield from graph.outputs
        for inner in graph:
            yield from _used(inner)


def _constant(node: ir.Node) -> Tensor:
    """The tensor that a Constant node holds, in whichever attribute."""
    [attribute] = node.attributes.values()
    if attribute.name == "value":
        return to_torch(attribute.as_tensor().numpy())
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64}
    if attribute.name not in {*kinds, "value_ints"}:
        raise UnsupportedOperator(f"Constant node {node.name!r}: {attribute.name}")
    return to_torch(np.asarray(attribute.value, dtype=kinds.get(attribute.name, np.int64)))


def _attributes(node: ir.Node) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, attribute in node.attributes.items():
        if attribute.type == ir.AttributeType.TENSOR:
            values[name] = to_torch(attribute.as_tensor().numpy())
        elif attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            values[name] = attribute.value
    return values
