"""Whether a product is all that tells how queries and keys are turned against each other."""

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
"""Bytes of a float -> what may be lost of the norm of a product."""


def is_invariant(
    graph: Graph,
    feeds: Feeds,
    sides: Sequence[tuple[ir.Value, int, Ids]],
    groups: Ids,
    product: ir.Value,
    beside: Sequence[ir.Value],
) -> bool:
    """Whether a product stays the same when its factors are turned, and all else that is seen.

    If only products count, nothing changes when one factor is multiplied with an invertible matrix
    and the other with its inverse, transposed. What lies between, and what others take, shows it.

    Args:
        graph: The graph.
        feeds: Inputs of one batch.
        sides: Queries and keys: the value, its axis of channels, and the (heads, size) channels of
            each head.
        groups: (heads,) which heads share a key and so turn alike, counted from 0.
        product: What is computed of both; the same but for rounding.
        beside: What else is taken from them or on the way; the same to the bit.
    """
    values = [value for value, _, _ in sides]
    wanted = [product, *beside]
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
    (before, *others), (after, *same) = usual[len(values) :], found
    unseen = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(others, same, strict=True))
    return unseen and _is_close(before, after)


def _turned(array: Array, axis: int, heads: Ids, turns: Array) -> Array:
    whole = np.moveaxis(array, axis, -1).copy()
    whole[..., heads] = np.einsum("...hs,hsc->...hc", whole[..., heads], turns)
    return np.ascontiguousarray(np.moveaxis(whole, -1, axis))


def _is_close(before: Array, after: Array) -> bool:
    wide = before.astype(np.float64)
    error = np.linalg.norm(wide - after.astype(np.float64))
    return bool(error <= _ROUNDING[before.dtype.itemsize] * np.linalg.norm(wide))
