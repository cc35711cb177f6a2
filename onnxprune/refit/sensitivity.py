"""How much the answers of a model depend on each of its units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import Statistics
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.importance import Scores
from onnxprune.refit.compensate import compensate
from onnxprune.rewrite import prune
from onnxprune.runtime import open_session
from onnxprune.runtime.journal import Journal, Pages, identity
from onnxprune.runtime.store import Store
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["sensitivity"]

Answers = list[npt.NDArray[Any]]
Track = Callable[[Sequence[MutableChannelUnit]], Iterable[MutableChannelUnit]]

_LOST = 1e6
"""What an answer that is not finite counts, in variances."""


def sensitivity(
    units: Units,
    scores: Mapping[str, Scores],
    calibration: Calibration,
    statistics: Statistics,
    track: Track = lambda units: units,
    journal: Journal | None = None,
) -> dict[str, float]:
    """Unit -> how far the model's answers move when it alone keeps half of its channels.

    The channels of the highest scores stay, and the weights that take them make up for the others.
    What is measured is the squared difference of every floating point output as a part of the
    output's variance, and how many elements of every other one differ, the sum over outputs. Where
    the original's answer is not finite it does not count; where only the smaller model's is not, it
    counts as a million variances.

    Args:
        units: All units of a model; their current choices are lost.
        scores: Unit -> (num_channels,) what its channels are worth; the others are left out.
        calibration: Inputs, of which a few hundred suffice.
        statistics: What was measured of the model, with covariances.
        track: Wraps the units to show how far it is.
        journal: Where the sensitivities are kept, unit by unit; what is kept already is not
            measured again.

    Returns:
        The sensitivities, none of them negative.

    Raises:
        OnnxPruneError: If the model does not run with the inputs, or its answers do not depend on
            any unit.
    """
    pages, store, found = _pages(journal, units.graph, calibration, statistics), Store(), {}
    whole: list[Answers] = []
    spreads: list[float] = []
    for unit in track([unit for unit in units.mutable if unit.name in scores]):
        units.reset()
        order = np.argsort(-scores[unit.name], kind="stable")
        unit.set_mask(unit.first(order, unit.rounded(max(1, unit.num_channels // 2))))
        known = pages.get(unit.name, unit.mask.tobytes())
        if not known:
            if not whole:
                given = _answers(units.graph, calibration)
                whole = [[store.put(array) for array in batch] for batch in given]
                spreads = _spreads(whole)
            small = compensate(units, prune(units), statistics)
            distance = _distance(whole, _answers(small, calibration), spreads)
            known = {"distance": np.array(distance)}
            pages.put(unit.name, unit.mask.tobytes(), arrays=known)
        found[unit.name] = float(known["distance"])
    units.reset()
    if found and not any(found.values()):
        raise OnnxPruneError(
            f"{units.graph.source}: whichever channels go, its answers to these inputs "
            f"({calibration.origin}) are the same, so units cannot be compared by them; give "
            f"other inputs, or the scope 'local'."
        )
    return found


def _pages(
    journal: Journal | None, graph: Graph, calibration: Calibration, statistics: Statistics
) -> Pages:
    """Where a journal keeps how far answers move, all of whose conditions are the same."""
    if journal is None:
        return Pages()
    about = identity(graph), calibration.digest(), statistics.digest()
    return journal.pages("sensitivity", *about)


def _answers(graph: Graph, calibration: Calibration) -> Iterator[Answers]:
    """All outputs that are tensors of numbers, batch by batch."""
    session = open_session(graph)
    for feeds in calibration:
        answers = session.run(None, feeds)
        yield [a for a in answers if isinstance(a, np.ndarray) and a.dtype.kind in "fiub"]


def _spreads(whole: Sequence[Answers]) -> list[float]:
    """The variance of each output's finite elements; 1 of what is no floating point number."""
    spreads = []
    for column in zip(*whole, strict=True):
        sums = np.zeros(3)
        for array in column:
            finite = array[np.isfinite(array)].astype(np.float64)
            sums += finite.size, finite.sum(), np.square(finite).sum()
        mean, square = sums[1:] / max(sums[0], 1)
        floats = column[0].dtype.kind == "f"
        spreads.append(max(float(square - mean**2), 1e-12) if floats else 1.0)
    return spreads


def _distance(whole: Sequence[Answers], part: Iterable[Answers], spreads: Sequence[float]) -> float:
    """The mean squared difference as a part of the variance, the sum over outputs."""
    totals, counts = np.zeros((2, len(spreads)))
    spread = np.array(spreads)
    for wanted, given in zip(whole, part, strict=True):
        for i, (w, g) in enumerate(zip(wanted, given, strict=True)):
            if w.shape != g.shape:
                continue
            finite = np.isfinite(w)
            first, second = w[finite], g[finite]
            apart = (first != second) if w.dtype.kind != "f" else first.astype(np.float64) - second
            far = math.sqrt(_LOST * spread[i])
            apart = np.nan_to_num(apart.astype(np.float64), nan=far, posinf=far, neginf=-far)
            totals[i] += np.square(apart).sum()
            counts[i] += first.size
    return float((totals / np.maximum(counts, 1) / spread).sum())
