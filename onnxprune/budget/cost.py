"""What a graph costs, whole or cut: parameters, bytes, multiply-accumulates, activation memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from onnxprune.axes.cut import Cut
from onnxprune.graph import Dim, Graph
from onnxprune.graph.dtypes import is_weight
from onnxprune.ops import macs_of
from onnxprune.registry import Registry

__all__ = [
    "BUDGETS",
    "Cost",
    "Measure",
    "Part",
    "ShapeOf",
    "budget",
    "cost",
    "cost_of_cut",
    "parts",
    "parts_of_cut",
]

ShapeOf = Callable[[ir.Value], tuple[Dim, ...] | None]
Part = tuple[ir.Node | ir.Value, float]
Measure = Callable[[Graph, ShapeOf], Iterable[Part]]

BUDGETS: Registry[Measure] = Registry("budget")
budget = BUDGETS.register
"""Registers a function from a graph and the shapes of its values (dynamic sizes are 1) to what
each part of it costs, a node or a value; the sum is what the graph costs."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs.

    Attributes:
        params: Elements of all weights. Integer tensors of 32 and 64 bits are indices and shapes,
            not weights.
        bytes: Bytes of all initializers.
        macs: Multiply-accumulates of one inference; a dynamic size counts as 1, so a model with a
            dynamic batch is counted for one sample.
        memory: The most bytes of inputs, outputs and intermediate values that are needed at once
            when the nodes run in their order, each value from the node that computes it to the
            last that reads it; for one sample too. A runtime that computes in place, fuses or
            reorders needs less. Values of unknown rank do not count.
    """

    params: int
    bytes: int
    macs: int
    memory: int


def cost(graph: Graph) -> Cost:
    """What a graph costs."""
    return _cost(graph, graph.shape)


def cost_of_cut(cut: Cut) -> Cost:
    """What a graph will cost after a cut, without carrying it out."""
    return _cost(cut.labels.graph, cut.shape)


def parts(of: str, graph: Graph) -> list[Part]:
    """What each part of a graph costs.

    Args:
        of: What is counted, the name of a registered budget.
        graph: The graph.

    Raises:
        OnnxPruneError: If there is no such budget.
    """
    return list(BUDGETS.get(of)(graph, _single(graph.shape)))


def parts_of_cut(of: str, cut: Cut) -> list[Part]:
    """What each part of a graph will cost after a cut; see `parts`."""
    return list(BUDGETS.get(of)(cut.labels.graph, _single(cut.shape)))


def _cost(graph: Graph, shape_of: ShapeOf) -> Cost:
    measures = (_params, _bytes, _macs, _memory)
    totals = (int(sum(n for _, n in measure(graph, _single(shape_of)))) for measure in measures)
    return Cost(*totals)


def _single(shape_of: ShapeOf) -> ShapeOf:
    """The shapes for one sample."""

    def single(value: ir.Value) -> tuple[Dim, ...] | None:
        shape = shape_of(value)
        return None if shape is None else tuple(Dim(1) if d.dynamic else d for d in shape)

    return single


@budget("params")
def _params(graph: Graph, shape_of: ShapeOf) -> Iterator[Part]:
    for value in graph.initializers.values():
        if is_weight(value.dtype):
            yield value, math.prod(dim.size for dim in shape_of(value) or ())


@budget("bytes")
def _bytes(graph: Graph, shape_of: ShapeOf) -> Iterator[Part]:
    for value in graph.initializers.values():
        if value.dtype is not None and value.dtype != ir.DataType.STRING:
            yield value, _size(value, shape_of)


@budget("macs")
def _macs(graph: Graph, shape_of: ShapeOf) -> Iterator[Part]:
    for node in graph.nodes:
        yield node, macs_of(node, graph, shape_of)


@budget("memory")
def _memory(graph: Graph, shape_of: ShapeOf) -> list[Part]:
    """The values that are alive when most bytes are."""
    nodes = graph.nodes
    readers = Counter(v for node in nodes for v in node.inputs if v is not None)
    readers.update(graph.outputs)
    constant = set(graph.initializers.values())
    alive = {v: _size(v, shape_of) for v in graph.inputs if v not in constant}
    now = most = sum(alive.values())
    peak = dict(alive)
    for node in nodes:
        made = {value: _size(value, shape_of) for value in node.outputs}
        alive |= made
        now += sum(made.values())
        if now > most:
            most, peak = now, dict(alive)
        readers.subtract(value for value in node.inputs if value is not None)
        for value in (*filter(None, node.inputs), *node.outputs):
            if value in alive and readers[value] <= 0:
                now -= alive.pop(value)
    return list(peak.items())


def _size(value: ir.Value, shape_of: ShapeOf) -> int:
    """The bytes of a value, 0 for one of unknown rank or type."""
    shape = shape_of(value)
    if shape is None or value.dtype is None or value.dtype == ir.DataType.STRING:
        return 0
    return math.ceil(math.prod(dim.size for dim in shape) * value.dtype.bitwidth / 8)
