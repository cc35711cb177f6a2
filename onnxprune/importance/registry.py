"""Where importances register: functions from a unit to (num_channels,) scores, higher is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from onnxprune.errors import OnnxPruneError
from onnxprune.importance.evidence import Evidence
from onnxprune.registry import Registry
from onnxprune.units import MutableChannelUnit

__all__ = ["IMPORTANCES", "Importance", "Needs", "Score", "Scores", "importance"]

Scores = npt.NDArray[np.float64]
Needs = Literal["weights", "activations", "gradients"]
Score = Callable[[MutableChannelUnit, Evidence], Scores]


class Importance:
    """What channels are worth, by a function that other people may write.

    Args:
        name: How it is called in errors.
        score: From a unit and the evidence to (num_channels,) scores; higher is kept.
        needs: What it looks at: ``weights``, ``activations`` or ``gradients``.

        cumulative: Whether sorted scores are an error curve already; if not, each is the error of
            its channel alone.

    Attributes:
        name: How it is called in errors.
        needs: What it looks at.
        cumulative: Whether sorted scores are an error curve already.
    """

    def __init__(self, name: str, score: Score, needs: Needs, cumulative: bool = False) -> None:
        self.name = name
        self.needs = needs
        self.cumulative = cumulative
        self._score = score
        self.__doc__ = score.__doc__

    def __call__(self, unit: MutableChannelUnit, evidence: Evidence | None = None) -> Scores:
        """The scores of a unit's channels.

        Args:
            unit: The unit.
            evidence: What was measured of the model; None is the weights alone.

        Returns:
            (num_channels,) scores.

        Raises:
            OnnxPruneError: If the evidence lacks what it needs, or the function gives anything
                but one finite number for each channel.
        """
        evidence = evidence or Evidence()
        self.check(evidence)
        scores = np.asarray(self._score(unit, evidence), np.float64)
        if scores.shape != (unit.num_channels,) or not np.isfinite(scores).all():
            raise OnnxPruneError(
                f"The importance '{self.name}' must give {unit.num_channels} finite numbers for "
                f"the unit '{unit.name}', one for each channel; it gives an array of shape "
                f"{scores.shape}, {int(np.isfinite(scores).sum())} of them finite."
            )
        return scores

    def check(self, evidence: Evidence) -> None:
        """Raise now if the evidence lacks what is needed.

        Raises:
            OnnxPruneError: If it does; the message says what to give.
        """
        if self.needs == "activations" and evidence.statistics is None:
            raise OnnxPruneError(
                f"The importance '{self.name}' needs activations; give calibration inputs to "
                f"measure them with, or an Evidence with statistics."
            )
        if self.needs == "gradients" and evidence.gradients is None:
            raise OnnxPruneError(
                f"The importance '{self.name}' needs gradients; give calibration inputs to "
                f"measure them with (it takes the torch extra), or an Evidence with gradients."
            )


IMPORTANCES: Registry[Importance] = Registry("importance")


def importance(
    *names: str, needs: Needs = "weights", cumulative: bool = False
) -> Callable[[Score], Importance]:
    """A decorator that registers a function ``score(unit, evidence)`` as an importance.

    Args:
        names: What it can be asked for by.
        needs: What it looks at: ``weights``, ``activations`` (then ``evidence.statistics`` is
            there) or ``gradients`` (then ``evidence.gradients`` is).
        cumulative: Whether a score is the error of all channels up to that one, the least
            important first.

    Example::

        @importance("spread")
        def spread(unit, evidence):
            return evidence.reduced(unit, lambda weights: weights.std(axis=1))
    """

    def register(score: Score) -> Importance:
        return IMPORTANCES.register(*names)(Importance(names[0], score, needs, cumulative))

    return register
