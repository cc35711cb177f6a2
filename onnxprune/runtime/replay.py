"""A walk that passes by what is known already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from onnxprune.graph import Graph
from onnxprune.runtime.feeds import Feeds
from onnxprune.runtime.store import Store
from onnxprune.runtime.walk import Walk

__all__ = ["Replay"]

Array = npt.NDArray[Any]


class Replay:
    """Goes through the nodes of a graph as a `Walk` does, and no further than it has to.

    Nothing is run, and no input is read, before something is to be seen. What was passed by until
    then is run now, cut into the same pieces as if it had been looked at: onnxruntime fuses what
    it finds in one piece, so other pieces would round otherwise.

    Args:
        graph: The graph.
        batches: The inputs.
        store: Keeps what flows.
        until: Values that are kept up to a place at least, as for `Walk`.
    """

    def __init__(
        self,
        graph: Graph,
        batches: Iterable[Feeds],
        store: Store,
        until: Mapping[ir.Value, int] | None = None,
    ) -> None:
        self._start: Callable[[], Walk] = lambda: Walk(graph, batches, store, until)
        self._index = {node: i for i, node in enumerate(graph.model.graph)}
        self._walk: Walk | None = None
        self._passed: list[tuple[int, Sequence[ir.Value]]] = []

    def index(self, node: ir.Node) -> int:
        """The place of a node of the main graph."""
        return self._index[node]

    def pass_by(self, stop: int, wanted: Sequence[ir.Value]) -> None:
        """Stand for an `advance` of which nothing is to be seen."""
        self._passed.append((stop, wanted))

    def advance(self, stop: int, wanted: Sequence[ir.Value]) -> Iterator[Mapping[str, Array]]:
        """Run the nodes up to a place, as `Walk.advance` does.

        Args:
            stop: The number of the first node that is not run; no smaller than the last time.
            wanted: Values to be seen.

        Yields:
            For each batch, the wanted values by name. All batches must be read.

        Raises:
            OnnxPruneError: If onnxruntime refuses the graph or an input.
        """
        if self._walk is None:
            self._walk = self._start()
        for passed in self._passed:
            for _ in self._walk.advance(*passed):
                pass
        self._passed = []
        yield from self._walk.advance(stop, wanted)

    def close(self) -> None:
        """Let go of everything that is kept."""
        if self._walk is not None:
            self._walk.close()
