"""What channels do when the model runs: scores from calibration inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from onnxprune.importance.consumers import Consumer, consumers, unmeasured
from onnxprune.importance.evidence import Evidence
from onnxprune.importance.registry import importance
from onnxprune.units import MutableChannelUnit

__all__ = ["apoz", "energy", "variance"]

Scores = npt.NDArray[np.float64]


@importance("energy", needs="activations")
def energy(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Mean square of a channel times its squared weights, over all consumers.

    Wanda (Sun et al., ICLR 2024, https://arxiv.org/abs/2306.11695), summed over a channel.
    """
    return _summed(unit, evidence, lambda consumer: consumer.spread(consumer.moments.square))


@importance("variance", needs="activations")
def variance(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Variance of a channel times its squared weights, over all consumers.

    FLAP (An et al., AAAI 2024, https://arxiv.org/abs/2312.11983): what is constant can go into a
    bias.
    """
    return _summed(unit, evidence, lambda consumer: consumer.spread(consumer.moments.variance))


@importance("apoz", needs="activations")
def apoz(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """How often a channel is not zero, the mean over consumers.

    The average percentage of zeros (Hu et al., 2016, https://arxiv.org/abs/1607.03250) from 1.
    """
    return _summed(
        unit,
        evidence,
        lambda consumer: consumer.moments.present[consumer.group][consumer.columns].mean(axis=1),
    )


def _summed(
    unit: MutableChannelUnit, evidence: Evidence, score: Callable[[Consumer], Scores]
) -> Scores:
    """(num_channels,) scores summed over the consumers, each of which counts the same."""
    assert evidence.statistics is not None
    total = np.zeros(unit.num_channels)
    found = list(consumers(unit, evidence.statistics))
    if not found:
        return unmeasured(unit, evidence)
    for consumer in found:
        scores = score(consumer)
        total[consumer.channels] += scores / max(float(scores.sum()), 1e-300)
    return total
