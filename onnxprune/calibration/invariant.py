"""Whether what a graph answers stays the same when queries and keys are turned together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.calibration.rearranged import answers
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds

__all__ = ["is_invariant"]

Array = npt.NDArray[Any]

_ROUNDING = {2: 0.02, 4: 1e-3, 8: 1e-6}
"""Bytes of a float -> what may be lost of the norm of an answer."""


def is_invariant(
    graph: Graph,
    feeds: Feeds,
    sides: Sequence[tuple[ir.Value, int, Ids]],
    groups: Ids,
    product: ir.Value,
) -> bool:
    """Whether a graph answers the same if two of its values are turned against each other.

    If only their products count, nothing changes when one is multiplied with an invertible matrix
    and the other with its inverse, transposed. Whatever else sees one of them, or lies between,
    shows in the answers.

    Args:
        graph: The graph.
        feeds: Inputs of one batch.
        sides: Queries and keys: the value, its axis of channels, and the (heads, size) channels of
            each head.
        groups: (heads,) which heads share a key and so turn alike, counted from 0.
        product: What is computed of both.
    """
    values = [value for value, _, _ in sides]
    wanted = [product, *(v for v in graph.outputs if v is not product)]
    size = sides[0][2].shape[1]
    normal = np.random.default_rng(0).standard_normal((2, int(groups.max()) + 1, size, size))
    left, right = np.linalg.qr(normal)[0]
    stretch = np.linspace(0.5, 2, size)[:, None]
    turns = (left @ (stretch * right))[groups], (left @ (right / stretch))[groups]
    try:
        usual = answers(graph, feeds, {}, [*values, *wanted])
        given: dict[str, Array] = {}
        for array, (value, axis, heads), turn in zip(usual, sides, turns, strict=False):
            name = str(value.name)  # both may be parts of one
            columns, first = np.unique(heads, axis=0, return_index=True)
            given[name] = _turned(given.get(name, array), axis, columns, turn[first])
        found = answers(graph, feeds, given, wanted)
    except OnnxPruneError:
        return False
    return all(_is_close(a, b) for a, b in zip(usual[len(values) :], found, strict=True))


def _turned(array: Array, axis: int, heads: Ids, turns: Array) -> Array:
    whole = np.moveaxis(array, axis, -1).copy()
    whole[..., heads] = np.einsum("...hs,hsc->...hc", whole[..., heads], turns)
    return np.ascontiguousarray(np.moveaxis(whole, -1, axis))


def _is_close(a: Any, b: Any) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape == b.shape):
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    wide, other = a.astype(np.float64), b.astype(np.float64)
    error = np.linalg.norm(wide - other)
    return bool(error <= _ROUNDING[a.dtype.itemsize] * np.linalg.norm(wide))
