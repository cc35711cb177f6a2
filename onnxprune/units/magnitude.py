"""Scores of channels by the weights that produce them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnxprune.ops import MACS

if TYPE_CHECKING:
    from onnxprune.units.unit import MutableChannelUnit

__all__ = ["mean_over_producers"]

Scores = npt.NDArray[np.float64]


def mean_over_producers(unit: MutableChannelUnit, score: Callable[[Scores], Scores]) -> Scores:
    """(num_channels,) the mean over a unit's producers of a score of their weights.

    Producers are the operators that multiply (convolutions, matrix products), as in MMRazor,
    without their biases; in a unit without any, whatever else stands on the producing side counts,
    then the consumers.

    Args:
        unit: The unit.
        score: From (num_channels, elements) weights to (num_channels,) scores.
    """
    multiply = [
        channel
        for channel in unit.output_related
        if MACS.find(channel.op) is not None and len(channel.tensor.shape or ()) > 1
    ]
    for channels in (multiply, unit.output_related, unit.input_related):
        weights = [w for c in channels if (w := c.values()) is not None]
        if weights:
            return np.asarray(np.mean([score(w) for w in weights], axis=0))
    return np.ones(unit.num_channels)
