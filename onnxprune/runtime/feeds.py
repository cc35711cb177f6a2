"""Inputs to run a model with, when the user gives none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime.session import first_line

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Feeds", "find_feeds", "integer_range"]

Feeds = dict[str, npt.NDArray[np.generic]]

SEEDS = (0, 1)
BATCHES = (2, 1)
LENGTHS = (64, 32, 224, 16, 128, 320, 256, 384, 512, 640, 96, 1024, 16000, 8, 4, 3, 2, 1)
SCALES = (1, 1000)
LARGEST_INTEGER = 8
MOST = 1 << 24
"""Elements of all inputs that are tried."""

_HANDING_THROUGH = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def find_feeds(graph: Graph, session: onnxruntime.InferenceSession) -> list[Feeds]:
    """Random inputs with which the model runs and its answers vary.

    Floats are uniform in [0, 1), integers 1 to 8, or 0 to the last row of a smaller table that they
    are looked up in, masks and booleans ones. Dynamic sizes are tried: the first of an input as a
    batch, the others as lengths, as far as 16 million elements suffice; then larger scalars.

    Args:
        graph: The graph.
        session: The graph in onnxruntime.

    Returns:
        Two sets of inputs of the same shapes. If no attempt gives answers that vary, the first
        that runs.

    Raises:
        OnnxPruneError: If an input holds neither numbers nor booleans, or nothing that is tried
            is accepted.
    """
    reason, accepted = "all sizes are too large", None
    for scale, sizes in itertools.product(SCALES, _sizes(graph)):
        if _elements(graph, sizes) > MOST:
            continue
        feeds = [_random(graph, sizes, scale, seed) for seed in SEEDS]
        try:
            answers = [session.run(None, feed) for feed in feeds]
        except Exception as error:
            reason = first_line(error)
            continue
        accepted = accepted or feeds
        if any(_varies(array) for answer in answers for array in answer):
            return feeds
    if accepted is None:
        raise OnnxPruneError(
            f"{graph.source}: onnxruntime accepts none of the random inputs that were tried "
            f"({reason}); give feeds (--feeds)."
        )
    return accepted


def integer_range(graph: Graph, value: ir.Value) -> tuple[int, int]:
    """What integers to feed to an input: 1 to 8, or the rows of a smaller table, from 0 on.

    Args:
        graph: The graph.
        value: The input.
    """
    largest, todo, seen = LARGEST_INTEGER, [value], {value}
    while todo:
        value = todo.pop()
        for node, slot in value.uses():
            if node.op_type in _HANDING_THROUGH and slot == 0:
                todo += [result for result in node.outputs if result not in seen]
                seen.update(node.outputs)
            table = node.inputs[0]
            if node.op_type == "Gather" and slot == 1 and table is not None:
                shape, axis = graph.shape(table), node.attributes.get("axis")
                dim = shape[0 if axis is None else axis.as_int()] if shape else None
                if dim is not None and dim.symbol is None and dim.size > 0:
                    largest = min(largest, dim.size - 1)
    return int(largest == LARGEST_INTEGER), largest


def _varies(array: object) -> bool:
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.number):
        return False
    finite = array[np.isfinite(array)]
    return bool(finite.size and np.ptp(finite) > 0)


def _sizes(graph: Graph) -> list[dict[str, int]]:
    """Sizes for the symbols of dynamic dimensions, the likeliest first."""
    shapes = [graph.shape(value) or () for value in graph.inputs]
    symbols = {dim.symbol for shape in shapes for dim in shape if dim.symbol is not None}
    batch = {s[0].symbol for s in shapes if len(s) > 1} & symbols
    known = dict(_channels(graph))
    found = [
        {s: known.get(s, first if s in batch else length) for s in symbols}
        for length, first in itertools.product(LENGTHS, BATCHES)
    ]
    return [sizes for i, sizes in enumerate(found) if sizes not in found[:i]]


def _channels(graph: Graph) -> Iterator[tuple[str, int]]:
    """Symbols of dynamic channels, and how many a convolution takes of them."""
    for value in graph.inputs:
        shape = graph.shape(value) or ()
        for node, slot in value.uses():
            if node.op_type != "Conv" or node.domain or slot != 0 or len(shape) < 2:
                continue
            weight, groups = node.inputs[1], node.attributes.get("group")
            taken = None if weight is None else graph.shape(weight)
            if shape[1].symbol is not None and taken and taken[1].symbol is None:
                yield shape[1].symbol, taken[1].size * (1 if groups is None else groups.as_int())


def _elements(graph: Graph, sizes: Mapping[str, int]) -> int:
    """How many elements all inputs have."""
    return sum(math.prod(_shape(graph, value, sizes)) for value in graph.inputs)


def _shape(graph: Graph, value: ir.Value, sizes: Mapping[str, int]) -> list[int]:
    dims = graph.shape(value) or ()
    return [dim.size if dim.symbol is None else sizes[dim.symbol] for dim in dims]


def _random(graph: Graph, sizes: Mapping[str, int], scale: int, seed: int) -> Feeds:
    random = np.random.default_rng(seed)
    feeds: Feeds = {}
    scalars = itertools.count()  # increasing: they are often the two ends of a range
    for value in graph.inputs:
        dims, dtype = graph.shape(value), value.dtype
        if dims is None or dtype is None or dtype == ir.DataType.STRING:
            raise OnnxPruneError(
                f"{graph.source}: random values do not suit its input '{value.name}' ("
                f"{'of unknown shape' if dims is None else dtype}); give feeds (--feeds)."
            )
        shape = _shape(graph, value, sizes)
        if dtype == ir.DataType.BOOL or (dtype.is_integer() and "mask" in (value.name or "")):
            array: npt.NDArray[np.generic] = np.ones(shape)
        elif dtype.is_integer():
            array = random.integers(*integer_range(graph, value), shape, endpoint=True)
        elif shape:
            array = random.random(shape)
        else:
            array = np.asarray(scale * (next(scalars) + random.random()))
        feeds[value.name or ""] = np.asarray(array).astype(dtype.numpy())
    return feeds
