"""Walks that pass by what is known: the same numbers, and no more work than needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest
from helpers import Arrays, feeds_of
from small import MODELS

from onnxprune.graph import Graph, load
from onnxprune.runtime import walk
from onnxprune.runtime.replay import Replay
from onnxprune.runtime.store import Store
from onnxprune.runtime.walk import Walk


def _steps(graph: Graph) -> list[tuple[int, list[ir.Value]]]:
    """One after every other node, which sees what that gives and takes."""
    nodes = list(graph.model.graph)[::2]
    index = {node: i for i, node in enumerate(graph.model.graph)}
    return [(index[n] + 1, [n.outputs[0], *(v for v in n.inputs[:1] if v)]) for n in nodes]


@pytest.mark.parametrize("name", ["chain", "residual", "squeeze_excite", "grouped"])
def test_what_is_seen_is_the_same_to_the_last_bit(name: str) -> None:
    model = MODELS[name]()
    graph, batches = load(model), [feeds_of(model, 5, seed=i) for i in range(3)]
    steps = _steps(graph)
    plain = Walk(graph, batches, Store())
    wanted = [[dict(seen) for seen in plain.advance(*step)] for step in steps]
    for first in range(len(steps)):
        for second in range(first + 1, len(steps) + 1):
            replay = Replay(graph, batches, Store())
            for i, step in enumerate(steps):
                if i not in (first, second):
                    replay.pass_by(*step)
                    continue
                for seen, known in zip(replay.advance(*step), wanted[i], strict=True):
                    assert seen.keys() == known.keys()
                    for key in seen:
                        np.testing.assert_array_equal(seen[key], known[key])
            replay.close()


def test_nothing_is_run_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["chain"]()
    graph, opened = load(model), []
    monkeypatch.setattr(walk, "open_session", lambda graph: opened.append(graph))

    class Batches:
        def __iter__(self) -> Iterator[Arrays]:
            raise AssertionError("the inputs are read")

    replay = Replay(graph, Batches(), Store())
    for step in _steps(graph):
        replay.pass_by(*step)
    replay.close()
    assert opened == []
    with pytest.raises(AssertionError, match="the inputs are read"):
        list(replay.advance(len(graph.nodes), []))


def test_places_are_those_of_the_nodes() -> None:
    graph = load(MODELS["chain"]())
    replay = Replay(graph, [], Store())
    assert [replay.index(node) for node in graph.model.graph] == list(range(len(graph.nodes)))
