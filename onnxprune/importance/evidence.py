"""What an importance may look at beside the weights, and how it weighs a unit's members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnxprune.importance.reduce import MEMBERS, REDUCTIONS, reduced
from onnxprune.units import MutableChannelUnit

if TYPE_CHECKING:
    from onnxprune.calibration.statistics import Statistics

__all__ = ["Coupled", "Evidence", "Gradients"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Coupled:
    """What scaling the channels of one unit does to the loss, sample by sample.

    The derivative of the loss by the scale of channel c in consumer m, for sample n, is s(n, m, c)
    = the sum of gradient * weight over what the channel owns of that consumer's weight.

    Attributes:
        alone: (consumers, num_channels) the mean over samples of s squared.
        together: (num_channels,) the mean over samples of the square of s summed over consumers.
    """

    alone: Array
    together: Array


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Gradients of a loss of the whole model, one sample at a time.

    Attributes:
        samples: How many samples they were measured with.
        mean: Initializer -> the mean over samples of its gradient, in its shape.
        squared: Initializer -> the mean over samples of its squared gradient, in its shape: the
            diagonal of the Fisher information where the loss is a log-likelihood.
        units: Unit -> what its channels do together.
    """

    samples: int
    mean: Mapping[str, Array]
    squared: Mapping[str, Array]
    units: Mapping[str, Coupled]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an importance may look at.

    Attributes:
        statistics: What was measured of the activations, None unless they were.
        gradients: What was measured of the gradients, None unless they were.
        sensitivity: Unit -> how much the model's answers change when half of its channels go and
            the others make up for it; None unless it was measured.
        members: Which weights of a unit count: ``producers`` or ``all`` (its consumers as well).
        reduction: How the scores of members become one: ``mean``, ``sum``, ``max``, ``prod`` or
            ``first``.

    Raises:
        OnnxPruneError: If there are no such members, or no such reduction.
    """

    statistics: Statistics | None = None
    gradients: Gradients | None = None
    sensitivity: Mapping[str, float] | None = None
    members: str = "producers"
    reduction: str = "mean"

    def __post_init__(self) -> None:
        MEMBERS.get(self.members)
        REDUCTIONS.get(self.reduction)

    def reduced(
        self,
        unit: MutableChannelUnit,
        score: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
        whole: bool = False,
    ) -> npt.NDArray[np.float64]:
        """(num_channels,) a score of a unit's weights: of each member, then reduced.

        Args:
            unit: The unit.
            score: From (channels, elements) weights to (channels,) scores.
            whole: Whether the score compares channels, so that it must see all at once; a few at
                a time otherwise.
        """
        return reduced(unit, score, self.members, self.reduction, whole)
