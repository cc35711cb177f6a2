"""Names for nodes and values that have none, because reports and saved choices quote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import onnx_ir as ir

__all__ = ["complete", "unique"]


def complete(model: ir.Model) -> None:
    """Give every node of a model, its functions included, a name that no other node of it has.

    Names that are present and unique stay. An unnamed node is called after its operator and its
    position (``Conv_12``), one whose name is taken gets a suffix (``conv__2``). Unnamed values are
    called after the node that computes them.

    Args:
        model: The model, changed in place.
    """
    _name_nodes(model.graph)
    for function in model.functions.values():
        _name_nodes(function)
    _name_values(model)


def unique(name: str, taken: set[str]) -> str:
    """Return the name, with the suffix ``__2``, ``__3``... if need be, and take it."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}__{count}"
    taken.add(candidate)
    return candidate


def _name_nodes(graph: ir.Graph | ir.Function) -> None:
    nodes = list(graph.all_nodes())
    seen = Counter(node.name for node in nodes if node.name)
    taken = set(seen)
    first: set[str] = set()
    next_suffix: Counter[str] = Counter()
    for position, node in enumerate(nodes):
        if node.name and node.name not in first:
            first.add(node.name)
            continue
        base = node.name or f"{node.op_type}_{position}"
        candidate = base
        while candidate in taken:
            next_suffix[base] += 1
            candidate = f"{base}__{next_suffix[base] + 1}"
        taken.add(candidate)
        first.add(candidate)
        node.name = candidate


def _name_values(model: ir.Model) -> None:
    unnamed = [
        value
        for node in model.graph.all_nodes()
        for value in node.outputs
        if not value.name and (value.uses() or value.is_graph_output())
    ]
    if not unnamed:
        return
    taken = set(_value_names(model.graphs()))
    for value in unnamed:
        node = value.producer()
        assert node is not None
        value.name = unique(f"{node.name}_output_{value.index()}", taken)


def _value_names(graphs: Iterable[ir.Graph]) -> Iterable[str]:
    for graph in graphs:
        yield from (value.name for value in graph.inputs if value.name)
        yield from graph.initializers
        yield from (value.name for node in graph for value in node.outputs if value.name)
