"""Scores of channels by the weights that produce them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.ops import MACS
from onnxprune.units.channel import Elements

if TYPE_CHECKING:
    from onnxprune.units.unit import MutableChannelUnit

__all__ = ["mean_over_producers"]


def mean_over_producers(
    unit: MutableChannelUnit, score: Callable[[Elements], Elements]
) -> Elements:
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
        scores = [found for c in channels if (found := c.reduce(score)) is not None]
        if scores:
            return np.asarray(np.mean(scores, axis=0))
    return np.ones(unit.num_channels)
