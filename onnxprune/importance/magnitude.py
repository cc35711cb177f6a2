"""The size of the weights that produce a channel."""

from __future__ import annotations

import math

import numpy as np

from onnxprune.errors import OnnxPruneError
from onnxprune.importance.evidence import Evidence
from onnxprune.importance.reduce import NORMALISATIONS
from onnxprune.importance.registry import IMPORTANCES, Importance, Score, Scores, importance
from onnxprune.units import MutableChannelUnit

__all__ = ["find_importance", "l1", "l2", "lamp", "norm"]


def norm(order: float) -> Score:
    """The norm of the weights of a channel: the root of the mean power of their size.

    Args:
        order: The power, above 0: 1 is the mean absolute weight, 2 the root of the mean square.

    Raises:
        OnnxPruneError: If the order is not a number above 0.
    """
    if not 0 < order < math.inf:
        raise OnnxPruneError(f"There is no norm of order {order:g}; give a number above 0.")

    def score(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
        return evidence.reduced(
            unit, lambda weights: (np.abs(weights) ** order).mean(axis=1) ** (1 / order)
        )

    return score


def find_importance(name: str) -> Importance:
    """The importance of a name: a registered one, or any norm as in ``l0.5`` and ``l3``.

    Raises:
        OnnxPruneError: If there is none.
    """
    found = IMPORTANCES.find(name)
    if found is None and name[:1] == "l":
        try:
            return Importance(name, norm(float(name[1:])), "weights")
        except ValueError:
            pass  # no number
    return found or IMPORTANCES.get(name)


@importance("l1")
def l1(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Mean absolute weight, averaged over the producers (Li et al., ICLR 2017)."""
    return norm(1)(unit, evidence)


@importance("l2")
def l2(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Root of the mean squared weight, averaged over the producers."""
    return norm(2)(unit, evidence)


@importance("lamp")
def lamp(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Squared weights over those of all channels that are not smaller (Lee et al., ICLR 2021).

    Inside a unit it ranks as ``l2`` does; it is made for comparing units.
    """
    return NORMALISATIONS.get("lamp")(l2(unit, evidence) ** 2)
