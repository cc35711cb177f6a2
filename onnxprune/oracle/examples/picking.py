"""Operators that read or write at positions, where the positions are constants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxprune.oracle.examples.example import Example, example

__all__ = ["picking"]


def picking() -> Iterator[Example]:
    """The examples."""
    alike = np.broadcast_to(np.array([[2, 0], [-1, 2], [1, 1]]), (4, 3, 2)).copy()
    yield example("GatherElements", (4, 3, 3), alike, axis=2)
    yield example("GatherElements", (4, 3, 5), alike, axis=-1)
    yield example("GatherElements", (4, 3, 2), alike, axis=1)
    yield example("GatherElements", (5, 3, 3), alike, axis=2)
    yield example("GatherElements", (4, 3), np.ones((4, 2), np.int64), axis=1)
    yield example("GatherElements", (4, 3), np.array([[0], [2], [1], [1]]), axis=1)
    places = np.broadcast_to(np.array([2, -3, 1]), (4, 3)).copy()
    yield example("ScatterElements", (4, 6), places, (4, 3), axis=1)
    yield example("ScatterElements", (5, 6), places, (4, 3), axis=1)
    yield example("ScatterElements", (4, 6), places, (4, 3), axis=1, reduction="add")
    yield example("Scatter", (4, 6), places, (4, 3), axis=1, opset=10)
    yield example("GatherND", (6, 3, 4), np.array([[4]]))
    yield example("GatherND", (6, 3, 4), np.array([[-2], [0], [3]]))
    yield example("GatherND", (6, 3), np.array([[1], [1], [5]]))
    yield example("GatherND", (6, 3), np.array([1]))
    yield example("GatherND", (6, 3, 4), np.array([[1, 2], [5, 0]]))
    yield example("GatherND", (2, 6, 4), np.array([[1], [5]]), batch_dims=1)
