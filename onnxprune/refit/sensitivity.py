"""How much the answers of a model depend on each of its units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import Statistics
from onnxprune.graph import Graph
from onnxprune.importance import Scores
from onnxprune.refit.compensate import compensate
from onnxprune.rewrite import prune
from onnxprune.runtime import open_session
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["sensitivity"]

Answers = list[npt.NDArray[np.float64]]
Track = Callable[[Sequence[MutableChannelUnit]], Iterable[MutableChannelUnit]]


def sensitivity(
    units: Units,
    scores: Mapping[str, Scores],
    calibration: Calibration,
    statistics: Statistics,
    track: Track = lambda units: units,
) -> dict[str, float]:
    """Unit -> how far the model's answers move when it alone keeps half of its channels.

    The channels of the highest scores stay, and the weights that take them make up for the others.
    What is measured is the squared difference of every floating point output as a part of the
    output's variance, the sum over outputs.

    Args:
        units: All units of a model; their current choices are lost.
        scores: Unit -> (num_channels,) what its channels are worth; the others are left out.
        calibration: Inputs, of which a few hundred suffice.
        statistics: What was measured of the model, with covariances.
        track: Wraps the units to show how far it is.

    Returns:
        The sensitivities, none of them negative.

    Raises:
        OnnxPruneError: If the model does not run with the inputs.
    """
    whole = _answers(units.graph, calibration)
    found = {}
    for unit in track([unit for unit in units.mutable if unit.name in scores]):
        units.reset()
        order = np.argsort(-scores[unit.name], kind="stable")
        unit.set_mask(unit.first(order, unit.rounded(max(1, unit.num_channels // 2))))
        small = compensate(units, prune(units), statistics)
        found[unit.name] = _distance(whole, _answers(small, calibration))
    units.reset()
    return found


def _answers(graph: Graph, calibration: Calibration) -> Answers:
    """All floating point outputs, each (samples, elements) where their sizes allow."""
    session = open_session(graph)
    runs = [session.run(None, feeds) for feeds in calibration]
    columns = [[np.asarray(array) for array in column] for column in zip(*runs, strict=True)]
    return [
        np.concatenate([array.reshape(-1).astype(np.float64) for array in column])
        for column in columns
        if all(np.issubdtype(array.dtype, np.floating) for array in column)
    ]


def _distance(whole: Answers, part: Answers) -> float:
    """The mean squared difference as a part of the variance, the sum over outputs."""
    total = 0.0
    for wanted, given in zip(whole, part, strict=True):
        if wanted.shape == given.shape and wanted.size:
            spread = max(float(wanted.var()), 1e-12)
            total += float(np.square(wanted - given).mean()) / spread
    return total
