"""Names for nodes and values that have none, because reports and saved choices quote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx_ir as ir

__all__ = ["Namer", "complete", "value_names"]


class Namer:
    """Hands out names that are not taken yet."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._last: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """Return the name, with the suffix ``__2``, ``__3``... if need be, and take it."""
        candidate = name
        while candidate in self._taken:
            self._last[name] = max(self._last[name], 1) + 1
            candidate = f"{name}__{self._last[name]}"
        self._taken.add(candidate)
        return candidate


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


def value_names(model: ir.Model) -> Iterator[str]:
    """The names of all values of the main graph and of nested graphs."""
    for graph in model.graphs():
        yield from (value.name for value in graph.inputs if value.name)
        yield from graph.initializers
        yield from (value.name for node in graph for value in node.outputs if value.name)


def _name_nodes(graph: ir.Graph | ir.Function) -> None:
    nodes = list(graph.all_nodes())
    namer = Namer(node.name for node in nodes if node.name)
    seen: set[str] = set()
    for position, node in enumerate(nodes):
        if not node.name or node.name in seen:
            node.name = namer.unique(node.name or f"{node.op_type}_{position}")
        seen.add(node.name)


def _name_values(model: ir.Model) -> None:
    namer = Namer(value_names(model))
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not value.name and (value.uses() or value.is_graph_output()):
                value.name = namer.unique(f"{node.name}_output_{value.index()}")
