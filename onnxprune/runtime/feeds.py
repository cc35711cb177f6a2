"""Inputs to run a model with, when the user gives none."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime.session import first_line

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Feeds", "find_feeds"]

Feeds = dict[str, npt.NDArray[np.generic]]

SEEDS = (0, 1)
BATCHES = (2, 1)
LENGTHS = (64, 32, 224, 16, 128, 320, 1024, 16000, 8, 4, 3, 2, 1)
SCALES = (1, 1000)


def find_feeds(graph: Graph, session: onnxruntime.InferenceSession) -> list[Feeds]:
    """Random inputs with which the model runs and its answers vary.

    Floats are uniform in [0, 1), integers 1 to 8, masks and booleans ones. Dynamic sizes are
    tried: the first of an input as a batch, the others as lengths; then larger scalars.

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
    reason, accepted = "", None
    for scale, sizes in itertools.product(SCALES, _sizes(graph)):
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
    found = [
        {symbol: first if symbol in batch else length for symbol in symbols}
        for length, first in itertools.product(LENGTHS, BATCHES)
    ]
    return [sizes for i, sizes in enumerate(found) if sizes not in found[:i]]


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
        shape = [dim.size if dim.symbol is None else sizes[dim.symbol] for dim in dims]
        if dtype == ir.DataType.BOOL or (dtype.is_integer() and "mask" in (value.name or "")):
            array: npt.NDArray[np.generic] = np.ones(shape)
        elif dtype.is_integer():
            array = random.integers(1, 9, shape)
        elif shape:
            array = random.random(shape)
        else:
            array = np.asarray(scale * (next(scalars) + random.random()))
        feeds[value.name or ""] = np.asarray(array).astype(dtype.numpy())
    return feeds
