"""Which channels of a value arrive where, told by numbers that it is made to hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds, open_session
from onnxprune.runtime.session import RuntimeRefusal, first_line

__all__ = ["answers", "rearranged"]

Array = npt.NDArray[Any]

_ROUNDING = 0.01
"""What rounding may do to a number, half precision aside."""


def rearranged(
    graph: Graph, feeds: Feeds, ways: Sequence[tuple[ir.Value, int, ir.Value]]
) -> list[Ids | None]:
    """Which channel of one value each element of a later value is.

    The first holds numbers of our own: zeros, ones, the numbers of its channels, and random ones.
    If the second is one factor times a channel in all four runs, it is a rearrangement of the
    channels, whatever operators did it; rows may be mixed on the way.

    Args:
        graph: The graph.
        feeds: Inputs of one batch.
        ways: A value, its axis of channels, and a value that is computed from it.

    Returns:
        For each, the channels in the shape of the later value; None if it is no rearrangement, or
        the graph does not run with such numbers.
    """
    try:
        return _told(graph, feeds, ways)
    except OnnxPruneError:
        return [None] * len(ways)


def _told(
    graph: Graph, feeds: Feeds, ways: Sequence[tuple[ir.Value, int, ir.Value]]
) -> list[Ids | None]:
    axes = {value: axis for value, axis, _ in ways}
    random = np.random.default_rng(0)
    drawn: dict[ir.Value, Array] = {}
    runs: list[dict[str, Array]] = [{} for _ in range(4)]
    for value, usual in zip(axes, answers(graph, feeds, {}, list(axes)), strict=True):
        places = np.moveaxis(usual, axes[value], -1)
        drawn[value] = random.standard_normal(size=(places.shape[-1],))
        for run, row in zip(runs, _rows(drawn[value]), strict=True):
            given = np.moveaxis(np.broadcast_to(row, places.shape), -1, axes[value])
            run[str(value.name)] = np.ascontiguousarray(given, usual.dtype)
    later = [value for _, _, value in ways]
    seen = zip(*(answers(graph, feeds, run, later) for run in runs), strict=True)
    return [
        _channels(np.stack(found).astype(np.float64), drawn[value])
        for (value, _, _), found in zip(ways, seen, strict=True)
    ]


def _rows(random: Array) -> Iterator[Array]:
    """What each channel gives, run by run."""
    yield np.zeros(len(random))
    yield np.ones(len(random))
    yield np.arange(len(random))
    yield random


def _channels(answers: Array, drawn: Array) -> Ids | None:
    """The channels that the answers of four runs tell, None if they contradict each other."""
    zeros, ones, numbers, randoms = answers
    if not ones.size or not np.isfinite(answers).all() or not ones.flat[0] or zeros.any():
        return None
    factor = float(ones.flat[0])
    found = numbers / factor
    channels = np.clip(np.rint(found), 0, len(drawn) - 1).astype(np.int64)
    told = ((ones / factor, 1), (found, channels), (randoms / factor, drawn[channels]))
    wrong = any((np.abs(a - b) > _ROUNDING).any() for a, b in told)
    return None if wrong else channels


def answers(
    graph: Graph, feeds: Feeds, given: Mapping[str, Array], wanted: Sequence[ir.Value]
) -> list[Array]:
    """What the graph computes where some of its values are given."""
    model = graph.model.clone()
    values = {str(v.name): v for node in model.graph for v in node.outputs}
    values.update({str(v.name): v for v in model.graph.inputs})
    for name, array in given.items():
        value = ir.Value(name=f"{name}_given", shape=ir.Shape([None] * array.ndim))
        value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
        values[name].replace_all_uses_with(value, replace_graph_outputs=True)
        model.graph.inputs.append(value)
        values[name] = value
    outputs = list(dict.fromkeys(values[str(value.name)] for value in wanted))
    model.graph.outputs.clear()
    model.graph.outputs.extend(outputs)
    try:
        session = open_session(Graph(model, graph.source, {}, {}))
    except RuntimeRefusal as refusal:
        raise OnnxPruneError(
            f"{graph.source}: onnxruntime does not load a part of it ({refusal})"
        ) from None
    fed = {**feeds, **{f"{name}_given": array for name, array in given.items()}}
    known = {one.name for one in session.get_inputs()}
    try:
        found = session.run(None, {name: a for name, a in fed.items() if name in known})
    except Exception as error:
        raise OnnxPruneError(
            f"{graph.source}: it does not run with these inputs: {first_line(error)}"
        ) from None
    by_value = dict(zip(outputs, found, strict=True))
    return [by_value[values[str(value.name)]] for value in wanted]
