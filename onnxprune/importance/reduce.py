"""From scores of a unit's members to scores of the unit, and to ones that units can share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from onnxprune.registry import Registry
from onnxprune.units import MutableChannelUnit
from onnxprune.units.channel import Channel
from onnxprune.units.magnitude import multiplying, scores_of_members

__all__ = ["MEMBERS", "NORMALISATIONS", "REDUCTIONS", "reduced"]

Array = npt.NDArray[np.float64]

MEMBERS: Registry[Callable[[MutableChannelUnit], Sequence[Channel]]] = Registry("choice of members")
"""Name -> which weights of a unit count."""

REDUCTIONS: Registry[Callable[[Array], Array]] = Registry("reduction")
"""Name -> from (members, num_channels) scores to (num_channels,)."""

NORMALISATIONS: Registry[Callable[[Array], Array]] = Registry("normalisation")
"""Name -> from the (num_channels,) scores of a unit to ones to be compared with other units'.

The ranking inside a unit stays the same. Where a scale is 0, so are all scores, or they are
all equal; these are left as they are.
"""


def reduced(
    unit: MutableChannelUnit,
    score: Callable[[Array], Array],
    members: str = "producers",
    reduction: str = "mean",
    whole: bool = False,
) -> Array:
    """(num_channels,) a score of a unit's weights: of each member, then reduced.

    Args:
        unit: The unit.
        score: From (channels, elements) weights to (channels,) scores.
        members: Which weights count, of `MEMBERS`.
        reduction: How their scores become one, of `REDUCTIONS`.
        whole: Whether the score compares channels, so that it must see all at once; a few at a
            time otherwise.

    Raises:
        OnnxPruneError: If there are no such members, or no such reduction.
    """

    def member(channel: Channel) -> Array | None:
        if not whole:
            return channel.reduce(score)
        weights = channel.reduce(lambda weights: weights)
        return None if weights is None else score(weights)

    scores = scores_of_members(unit, member, MEMBERS.get(members)(unit))
    return np.asarray(REDUCTIONS.get(reduction)(scores))


@MEMBERS.register("producers")
def _producers(unit: MutableChannelUnit) -> Sequence[Channel]:
    return multiplying(unit.output_related)


@MEMBERS.register("all")
def _all(unit: MutableChannelUnit) -> Sequence[Channel]:
    """What hands channels through, such as a depthwise convolution, counts once."""
    produced = multiplying(unit.output_related)
    seen = {(channel.tensor, channel.axis) for channel in produced}
    consumed = multiplying(unit.input_related)
    return [*produced, *(c for c in consumed if (c.tensor, c.axis) not in seen)]


@REDUCTIONS.register("mean")
def _mean(scores: Array) -> Array:
    return np.asarray(np.mean(scores, axis=0))


@REDUCTIONS.register("sum")
def _sum(scores: Array) -> Array:
    return np.asarray(np.sum(scores, axis=0))


@REDUCTIONS.register("max")
def _max(scores: Array) -> Array:
    return np.asarray(np.max(scores, axis=0))


@REDUCTIONS.register("prod")
def _prod(scores: Array) -> Array:
    return np.asarray(np.prod(scores, axis=0))


@REDUCTIONS.register("first")
def _first(scores: Array) -> Array:
    return np.asarray(scores[0])


@NORMALISATIONS.register("none")
def _none(scores: Array) -> Array:
    return scores


@NORMALISATIONS.register("mean")
def _by_mean(scores: Array) -> Array:
    return _divided(scores, float(np.abs(scores).mean()))


@NORMALISATIONS.register("sum")
def _by_sum(scores: Array) -> Array:
    return _divided(scores, float(np.abs(scores).sum()))


@NORMALISATIONS.register("max")
def _by_max(scores: Array) -> Array:
    return _divided(scores, float(np.abs(scores).max()))


@NORMALISATIONS.register("standard")
def _standard(scores: Array) -> Array:
    """From 0, the least, to 1, the most."""
    return _divided(scores - scores.min(), float(np.ptp(scores)))


@NORMALISATIONS.register("gaussian")
def _gaussian(scores: Array) -> Array:
    """Mean 0, standard deviation 1."""
    return _divided(scores - scores.mean(), float(scores.std()))


@NORMALISATIONS.register("median")
def _by_median(scores: Array) -> Array:
    return _divided(scores, float(np.median(np.abs(scores))))


@NORMALISATIONS.register("lamp")
def _lamp(scores: Array) -> Array:
    """Each score over the sum of all that are not lower; for scores of which none is negative.

    Source: Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021.
    """
    order = np.argsort(scores, kind="stable")
    rest = np.cumsum(scores[order][::-1])[::-1]
    result = np.empty_like(scores)
    result[order] = scores[order] / np.where(rest == 0, 1.0, rest)
    return result


def _divided(scores: Array, scale: float) -> Array:
    return scores / scale if scale > 0 else scores
