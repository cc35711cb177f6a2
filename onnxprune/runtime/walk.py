"""Running a graph piece by piece, over many inputs, to see what flows between its nodes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.graph.fold import RANDOM
from onnxprune.graph.nested import graphs_of
from onnxprune.runtime.feeds import Feeds
from onnxprune.runtime.session import RuntimeRefusal, first_line, open_session
from onnxprune.runtime.store import Store

__all__ = ["Walk"]

Array = npt.NDArray[Any]


class Walk:
    """Goes through the nodes of a graph in order, with all inputs at once.

    Every node is run once for each batch; what later nodes still need is kept in between, so the
    weights of nodes ahead may change on the way.

    Args:
        graph: The graph.
        batches: The inputs, all of which are held by the store.
        store: Keeps what flows; several walks may share one.
        until: Values that are kept up to a place at least, wherever the last node takes them.
    """

    def __init__(
        self,
        graph: Graph,
        batches: Iterable[Feeds],
        store: Store,
        until: Mapping[ir.Value, int] | None = None,
    ) -> None:
        self._graph = graph
        self._nodes = list(graph.model.graph)
        self._store = store
        self._place = 0
        self._last = _last_uses(self._nodes)
        for value, place in (until or {}).items():
            self._last[value] = max(place, self._last.get(value, -1))
        self._index = {node: i for i, node in enumerate(self._nodes)}
        needed = {str(v.name) for v in graph.inputs if v in self._last}
        self._held: list[dict[str, Array]] = [
            {name: store.put(array) for name, array in feeds.items() if name in needed}
            for feeds in batches
        ]

    def index(self, node: ir.Node) -> int:
        """The place of a node of the main graph."""
        return self._index[node]

    def advance(self, stop: int, wanted: Sequence[ir.Value]) -> Iterator[Mapping[str, Array]]:
        """Run the nodes up to a place.

        Args:
            stop: The number of the first node that is not run; no smaller than the last time.
            wanted: Values to be seen: what the nodes that are run now give, or what later ones
                take.

        Yields:
            For each batch, the wanted values by name. All batches must be read.

        Raises:
            OnnxPruneError: If onnxruntime refuses the graph or an input.
        """
        nodes = self._nodes[self._place : stop]
        seen = {str(value.name) for value in wanted}
        made = [v for node in nodes for v in node.outputs if self._stays(v, stop, seen)]
        taken = _outer_values(nodes)
        session = None
        for i, held in enumerate(self._held):
            if made and session is None:
                session = self._open(nodes, taken, made, held)
            fresh = self._run(session, taken, made, held) if session is not None else {}
            yield {name: (fresh if name in fresh else held)[name] for name in seen}
            self._held[i] = self._kept(held, fresh, stop)
        self._place = stop

    def close(self) -> None:
        """Let go of everything that is kept."""
        for held in self._held:
            for array in held.values():
                self._store.drop(array)
        self._held = []

    def _stays(self, value: ir.Value, stop: int, seen: set[str]) -> bool:
        return bool(value.name) and (self._last.get(value, -1) >= stop or value.name in seen)

    def _kept(
        self, held: dict[str, Array], fresh: Mapping[str, Array], stop: int
    ) -> dict[str, Array]:
        """What later nodes still take, of what was kept and of what was computed."""
        later = {str(v.name) for v, last in self._last.items() if last >= stop}
        for name, array in held.items():
            if name not in later:
                self._store.drop(array)
        return {
            **{name: array for name, array in held.items() if name in later},
            **{name: self._store.put(array) for name, array in fresh.items() if name in later},
        }

    def _open(
        self,
        nodes: Sequence[ir.Node],
        taken: Sequence[ir.Value],
        made: Sequence[ir.Value],
        held: Mapping[str, Array],
    ) -> object:
        """The nodes as a graph of their own, in onnxruntime."""
        graph = self._graph.model.graph
        inputs = [value for value in taken if value.name in held]
        initializers = [v for v in taken if graph.initializers.get(str(v.name)) is v]
        view = ir.GraphView(
            inputs,
            made,
            nodes=nodes,
            initializers=initializers,
            opset_imports=self._graph.model.opset_imports,
            name="part",
        )
        model = ir.Model(view.clone(), ir_version=self._graph.model.ir_version)
        _seed(model)
        for value in model.graph.inputs:
            array = held[str(value.name)]
            if isinstance(array, np.ndarray):
                value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
                value.shape = ir.Shape([None] * array.ndim)
        try:
            return open_session(Graph(model, self._graph.source, {}, {}))
        except RuntimeRefusal as refusal:
            raise OnnxPruneError(
                f"{self._graph.source}: onnxruntime does not load a part of it ({refusal})"
            ) from None

    def _run(
        self,
        session: object,
        taken: Sequence[ir.Value],
        made: Sequence[ir.Value],
        held: Mapping[str, Array],
    ) -> dict[str, Array]:
        feeds = {str(value.name): held[str(value.name)] for value in taken if value.name in held}
        names = [str(value.name) for value in made]
        try:
            answers = session.run(names, feeds)  # type: ignore[attr-defined]
        except Exception as error:
            raise OnnxPruneError(
                f"{self._graph.source}: it does not run with these inputs: {first_line(error)}"
            ) from None
        return dict(zip(names, answers, strict=True))


def _seed(model: ir.Model) -> None:
    """Let nodes of the same name draw the same numbers, in whatever graph and part they are."""
    for node in model.graph.all_nodes():
        if node.op_type in RANDOM and not node.domain and "seed" not in node.attributes:
            seed = zlib.crc32(str(node.name).encode()) % (1 << 24)
            node.attributes["seed"] = ir.AttrFloat32("seed", float(seed))


def _outer_values(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """What nodes take from outside, the graphs inside them too."""
    inner = {value for node in nodes for value in node.outputs}
    found = dict.fromkeys(v for node in nodes for v in _taken(node) if v not in inner)
    return list(found)


def _taken(node: ir.Node) -> Iterator[ir.Value]:
    """What a node takes; what the graphs inside it take from outside as well."""
    yield from (value for value in node.inputs if value is not None)
    for graph in (g for attribute in node.attributes.values() for g in graphs_of(attribute)):
        own = {*graph.inputs, *graph.initializers.values()}
        own.update(value for inner in graph for value in inner.outputs)
        outer = (*(v for inner in graph for v in _taken(inner)), *graph.outputs)
        yield from (value for value in outer if value not in own)


def _last_uses(nodes: Sequence[ir.Node]) -> dict[ir.Value, int]:
    """Value -> the last node that takes it."""
    return {value: i for i, node in enumerate(nodes) for value in _taken(node)}
