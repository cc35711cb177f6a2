"""The kinds of units: what a count keeps, and which counts there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxprune.errors import ChoiceError
from onnxprune.units.counts import count_of
from onnxprune.units.magnitude import mean_over_producers
from onnxprune.units.mutable import SequentialMutableChannel
from onnxprune.units.unit import Choice, Mask, MutableChannelUnit, Scores, unit_kind

__all__ = [
    "L1MutableChannelUnit",
    "OneShotMutableChannelUnit",
    "SequentialMutableChannelUnit",
    "SlimmableChannelUnit",
]


@unit_kind("sequential", "SequentialMutableChannelUnit")
class SequentialMutableChannelUnit(MutableChannelUnit):
    """Keeps its first channels."""

    mutable_channel_type = SequentialMutableChannel


@unit_kind("l1", "L1MutableChannelUnit")
class L1MutableChannelUnit(MutableChannelUnit):
    """Keeps the channels of the largest mean absolute weight, averaged over the producers.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017; the mean over producers
    as in MMRazor.
    """

    def scores(self) -> Scores:
        """(num_channels,) mean absolute weights."""
        return mean_over_producers(self, lambda weights: np.abs(weights).mean(axis=1))


@unit_kind("oneshot", "OneShotMutableChannelUnit")
class OneShotMutableChannelUnit(SequentialMutableChannelUnit):
    """Keeps as many of its first channels as one of a few candidates says.

    Args:
        num_channels: The number of channels.
        candidate_choices: Counts (integers) or ratios (floats), by the mode; rounded, at most all
            channels. All channels are the only candidate if there are none.
        choice_mode: Whether candidates and choices are a ``number`` or a ``ratio``.
        divisor: As for every unit.
        min_value: As for every unit.
        min_ratio: As for every unit.

    Raises:
        ChoiceError: If an argument is out of range.
    """

    def __init__(
        self,
        num_channels: int,
        candidate_choices: Sequence[float] = (0.5, 1.0),
        choice_mode: str = "ratio",
        divisor: int = 1,
        min_value: int = 1,
        min_ratio: float = 0.9,
    ) -> None:
        super().__init__(num_channels, choice_mode, divisor, min_value, min_ratio)
        where = f"{type(self).__name__}: a candidate"
        self._asked: list[int] = []
        for candidate in candidate_choices:
            ratio = isinstance(candidate, float | np.floating)
            if ratio != (choice_mode == "ratio"):
                raise ChoiceError(
                    f"{where} of {candidate!r} is no {choice_mode}; counts are integers, ratios "
                    f"have a decimal point."
                )
            known = candidate if ratio else min(candidate, num_channels)
            self._asked.append(count_of(known, num_channels, where))

    @property
    def _counts(self) -> list[int]:
        """The candidates as counts, rounded, the smallest first."""
        nearest = super().rounded
        return sorted({nearest(count) for count in self._asked}) or [self.num_channels]

    def rounded(self, count: float) -> int:
        """The nearest candidate, the larger of two."""
        return min(reversed(self._counts), key=lambda candidate: abs(candidate - count))

    @property
    def candidate_choices(self) -> list[Any]:
        """The candidates, rounded, the smallest first."""
        number = self.choice_mode == "number"
        return [count if number else count / self.num_channels for count in self._counts]

    @property
    def min_choice(self) -> Any:
        """The smallest candidate."""
        return self.candidate_choices[0]

    @property
    def max_choice(self) -> Any:
        """The largest candidate."""
        return self.candidate_choices[-1]

    def mask_of(self, choice: Choice) -> Mask:
        """The mask that a candidate stands for.

        Raises:
            ChoiceError: If the choice is not one of the candidates, nor a mask that keeps as many
                channels as one of them.
        """
        if isinstance(choice, int | float | np.number):
            if choice in self.candidate_choices and type(choice) is type(self.max_choice):
                return self.best(self._counts[self.candidate_choices.index(choice)])
        else:
            mask = super().mask_of(choice)
            if int(mask.sum()) in (*self._counts, self.num_channels):
                return mask
        raise ChoiceError(
            f"The unit '{self.name}' takes one of its candidates {self.candidate_choices}, not "
            f"{choice!r}."
        )

    def sample_choice(self, seed: int | None = None) -> Any:
        """One of the candidates."""
        return self.candidate_choices[np.random.default_rng(seed).integers(len(self._counts))]

    def extreme_choice(self, most: bool) -> Any:
        """The largest or the smallest candidate."""
        return self.max_choice if most else self.min_choice


@unit_kind("slimmable", "SlimmableChannelUnit")
class SlimmableChannelUnit(OneShotMutableChannelUnit):
    """Keeps one of a few counts of its first channels; the i-th of every unit are one network.

    Args:
        num_channels: The number of channels.
        candidate_choices: As for `OneShotMutableChannelUnit`.
        choice_mode: As for `OneShotMutableChannelUnit`.
        divisor: As for every unit.
        min_value: As for every unit.
        min_ratio: As for every unit.

    Source: Yu et al., Slimmable Neural Networks, ICLR 2019.
    """

    def __init__(
        self,
        num_channels: int,
        candidate_choices: Sequence[float] = (),
        choice_mode: str = "number",
        divisor: int = 1,
        min_value: int = 1,
        min_ratio: float = 0.9,
    ) -> None:
        super().__init__(
            num_channels, candidate_choices, choice_mode, divisor, min_value, min_ratio
        )
