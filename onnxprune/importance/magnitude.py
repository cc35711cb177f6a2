"""The size of the weights that produce a channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxprune.importance.registry import importance
from onnxprune.units import MutableChannelUnit
from onnxprune.units.magnitude import mean_over_producers

Scores = npt.NDArray[np.float64]


@importance("l1")
def l1(unit: MutableChannelUnit) -> Scores:
    """Mean absolute weight, averaged over the producers (Li et al., ICLR 2017)."""
    return mean_over_producers(unit, lambda w: np.abs(w).mean(axis=1))


@importance("l2")
def l2(unit: MutableChannelUnit) -> Scores:
    """Root of the mean squared weight, averaged over the producers."""
    return mean_over_producers(unit, lambda w: np.sqrt(np.square(w).mean(axis=1)))
