"""Scores of channels by the weights that produce them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.ops import MACS
from onnxprune.units.channel import Channel, Elements

if TYPE_CHECKING:
    from onnxprune.units.unit import MutableChannelUnit

__all__ = ["mean_over_producers", "multiplying", "scores_of_members"]


def multiplying(channels: Sequence[Channel]) -> list[Channel]:
    """Those that stand in operators that multiply: convolutions, matrix products; no biases."""
    return [
        channel
        for channel in channels
        if MACS.find(channel.op) is not None and len(channel.tensor.shape or ()) > 1
    ]


def scores_of_members(
    unit: MutableChannelUnit,
    score: Callable[[Channel], Elements | None],
    first: Sequence[Channel] | None = None,
) -> Elements:
    """(members, num_channels) the score of each member of a unit, at least one.

    Members are the producers that multiply (convolutions, matrix products), as in MMRazor, without
    their biases; in a unit without any, whatever else stands on the producing side counts, then
    the consumers. A unit that owns no stored weight has one member, which scores 1.

    Args:
        unit: The unit.
        score: From a member to (num_channels,) scores, None where it is no stored weight.
        first: The members to look at instead of the producers; the others follow if none of them
            is a stored weight.
    """
    wanted = multiplying(unit.output_related) if first is None else first
    for channels in (wanted, unit.output_related, unit.input_related):
        scores = [found for c in channels if (found := score(c)) is not None]
        if scores:
            return np.stack(scores)
    return np.ones((1, unit.num_channels))


def mean_over_producers(
    unit: MutableChannelUnit, score: Callable[[Elements], Elements]
) -> Elements:
    """(num_channels,) the mean over a unit's producers of a score of their weights.

    Args:
        unit: The unit; see `scores_of_members` for what its producers are.
        score: From (num_channels, elements) weights to (num_channels,) scores.
    """
    scores = scores_of_members(unit, lambda channel: channel.reduce(score))
    return np.asarray(np.mean(scores, axis=0))
