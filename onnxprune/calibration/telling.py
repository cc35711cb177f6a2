"""Which of many random samples tell most of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.source import Indices
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds, RuntimeRefusal, first_line, open_session

__all__ = ["most_telling"]

_CANDIDATES = 8
"""Samples that one is taken of."""

_NUMBERS = 512
"""Of an output that are looked at; runs of more are averaged."""

_RIDGE = 1e-6
"""Of the mean variance of the numbers."""

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]


def most_telling(graph: Graph, read: Callable[[Indices], Feeds], count: int, batch: int) -> Indices:
    """The samples, of eight times as many, that the model answers most unlike the others.

    Random images rarely show a model what it was made for: to most of them it gives the same few
    answers, and what tells its other answers apart lies idle. Those of the greatest leverage,
    (y - m)' C^-1 (y - m) with the mean m and the covariance C of all answers y, span its answers
    best (they are the outer points of a D-optimal design; Fedorov, 1972).

    Args:
        graph: The model.
        read: From indices, counted from 0, to feeds.
        count: How many samples are wanted, whole batches if the model takes no others.
        batch: How many it is run with at once.

    Returns:
        (count,) indices, ascending; the first ones where the answers tell none apart.

    Raises:
        OnnxPruneError: If the model does not run with them.
        MissingExtra: If onnxruntime is not installed.
    """
    try:
        session = open_session(graph)
    except RuntimeRefusal as error:
        raise OnnxPruneError(f"{graph.source}: onnxruntime does not load it: {error}") from error
    parts = []
    for start in range(0, _CANDIDATES * count, batch):
        size = min(batch, _CANDIDATES * count - start)
        try:
            answers = session.run(None, read(np.arange(start, start + size)))
        except Exception as error:
            raise OnnxPruneError(
                f"{graph.source}: onnxruntime does not run it on random samples: "
                f"{first_line(error)}"
            ) from error
        parts.append(_numbers(answers, size))
    if len({part.shape[1] for part in parts}) > 1:
        return np.arange(count)
    leverage = _leverage(np.concatenate(parts))
    return np.sort(np.argsort(-leverage, kind="stable")[:count])


def _numbers(answers: Sequence[object], size: int) -> Doubles:
    """(size, n) what is looked at of the answers to a batch."""
    found = [np.zeros((size, 0))]
    for answer in answers:
        if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
            continue
        if answer.ndim and answer.size and len(answer) == size:
            flat = answer.reshape(size, -1).astype(np.float64)
            runs = np.array_split(flat, min(flat.shape[1], _NUMBERS), axis=1)
            found.append(np.stack([run.mean(axis=1) for run in runs], axis=1))
    return np.concatenate(found, axis=1)


def _leverage(rows: Doubles) -> Doubles:
    """(n,) of each row; 0 where it is not finite."""
    usable = np.isfinite(rows).all(axis=1)
    leverage = np.zeros(len(rows))
    if usable.any() and rows.shape[1]:
        apart = rows[usable] - rows[usable].mean(axis=0)
        covariance = apart.T @ apart / len(apart)
        ridge = max(_RIDGE * float(np.diagonal(covariance).mean()), 1e-300)
        solved = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), apart.T)
        leverage[usable] = (apart * solved.T).sum(axis=1)
    return leverage
