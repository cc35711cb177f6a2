"""How far a channel's weights are from those of the others."""

from __future__ import annotations

import numpy as np

from onnxprune.importance.evidence import Evidence
from onnxprune.importance.registry import Scores, importance
from onnxprune.units import MutableChannelUnit

__all__ = ["fpgm"]


@importance("fpgm")
def fpgm(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """The mean distance of a channel's weights to those of every channel of the unit.

    What lies near the geometric median can be replaced by the others (He et al., Filter Pruning
    via Geometric Median, CVPR 2019). Distances are divided by the root of the number of weights,
    as ``l2`` is.
    """
    return evidence.reduced(unit, _mean_distance, whole=True)


def _mean_distance(weights: Scores) -> Scores:
    """(n,) the mean Euclidean distance of each row to all rows."""
    squares = np.square(weights).sum(axis=1)
    between = squares[:, None] + squares - 2 * (weights @ weights.T)
    np.fill_diagonal(between, 0)
    distances = np.sqrt(np.maximum(between, 0) / weights.shape[1])
    return np.asarray(distances.mean(axis=1))
