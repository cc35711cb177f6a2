"""Mutable channels: they hold what a unit keeps, in the form in which that is chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.errors import ChoiceError
from onnxprune.units.counts import count_of

__all__ = [
    "BaseMutableChannel",
    "DerivedMutableChannel",
    "OneShotMutableChannel",
    "SequentialMutableChannel",
    "SimpleMutableChannel",
    "SquentialMutableChannel",
    "concatenate",
    "mask_of",
]

Mask = npt.NDArray[np.bool_]


class BaseMutableChannel(ABC):
    """Holds which of `num_channels` channels are kept.

    Attributes:
        num_channels: The number of channels.
        masked: In torch, whether removed channels stay in place as zeros, for modules that compute
            with fixed sizes; else they are sliced away.
    """

    def __init__(self, num_channels: int) -> None:
        if isinstance(num_channels, bool) or num_channels < 1:
            raise ChoiceError(f"A mutable channel needs at least 1 channel, not {num_channels}.")
        self.num_channels = num_channels
        self.masked = False

    @property
    @abstractmethod
    def current_mask(self) -> Mask:
        """(num_channels,) which channels are kept."""

    @property
    @abstractmethod
    def current_choice(self) -> Any:
        """The choice, in the form that this kind takes."""

    @property
    def activated_channels(self) -> int:
        """How many channels are kept."""
        return int(self.current_mask.sum())

    def expand(self, ratio: int) -> DerivedMutableChannel:
        """Every channel `ratio` times, side by side: the features of a flattened image.

        Raises:
            ChoiceError: If the ratio is below 1.
        """
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio < 1:
            raise ChoiceError(f"Channels can be expanded 1 time or more, not {ratio!r} times.")
        return DerivedMutableChannel(
            [self], np.repeat(np.arange(self.num_channels), ratio)[:, None]
        )

    def divide(self, ratio: int) -> DerivedMutableChannel:
        """Every `ratio` neighbouring channels as one, which is there when all of them are.

        Raises:
            ChoiceError: If the number of channels is no multiple of the ratio.
        """
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio < 1:
            raise ChoiceError(f"Channels can be divided by 1 or more, not by {ratio!r}.")
        if self.num_channels % ratio:
            raise ChoiceError(f"{self.num_channels} channels cannot be divided by {ratio}.")
        return DerivedMutableChannel([self], np.arange(self.num_channels).reshape(-1, ratio))

    def __mul__(self, ratio: int) -> DerivedMutableChannel:
        return self.expand(ratio)

    def __floordiv__(self, ratio: int) -> DerivedMutableChannel:
        return self.divide(ratio)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_channels={self.num_channels}, "
            f"activated_channels={self.activated_channels})"
        )


class SimpleMutableChannel(BaseMutableChannel):
    """The choice is the mask itself."""

    def __init__(self, num_channels: int) -> None:
        super().__init__(num_channels)
        self._mask = np.ones(num_channels, bool)

    @property
    def current_mask(self) -> Mask:
        """(num_channels,) which channels are kept; assigning does not copy."""
        return self._mask

    @current_mask.setter
    def current_mask(self, mask: Mask) -> None:
        self._mask = mask

    @property
    def current_choice(self) -> Any:
        """The choice, in the form that this kind takes.

        A mask here; assign a mask (booleans) or the indices to keep (integers).
        """
        return self._mask

    @current_choice.setter
    def current_choice(self, choice: Any) -> None:
        self.current_mask = self.mask_of(choice)

    def mask_of(self, choice: Any) -> Mask:
        """The mask that a choice stands for.

        Raises:
            ChoiceError: If it does not fit.
        """
        return mask_of(choice, self.num_channels, type(self).__name__)


class SequentialMutableChannel(SimpleMutableChannel):
    """The choice is a count or a ratio; the first channels are kept.

    Args:
        num_channels: The number of channels.
        choice_mode: Whether the choice is told as a ``number`` or as a ``ratio``.
    """

    def __init__(self, num_channels: int, choice_mode: str = "number") -> None:
        super().__init__(num_channels)
        self.choice_mode = checked_mode(choice_mode)

    @property
    def current_choice(self) -> Any:
        """How many channels are kept: a number or a ratio; assign an integer or a float."""
        kept = self.activated_channels
        return kept if self.choice_mode == "number" else kept / self.num_channels

    @current_choice.setter
    def current_choice(self, choice: Any) -> None:
        self.current_mask = self.mask_of(choice)

    def mask_of(self, choice: Any) -> Mask:
        """The mask that a count or a ratio stands for.

        Raises:
            ChoiceError: If it is out of range.
        """
        count = count_of(choice, self.num_channels, type(self).__name__)
        return np.asarray(np.arange(self.num_channels) < count)

    def __repr__(self) -> str:
        # The document that this class comes from spells it so, and prints it so.
        return super().__repr__().replace("Sequential", "Squential")


SquentialMutableChannel = SequentialMutableChannel
"""The name as MMRazor spells it."""


class OneShotMutableChannel(SequentialMutableChannel):
    """The choice is one of a few candidates; the first channels are kept.

    Args:
        num_channels: The number of channels.
        candidate_choices: The candidates, counts (integers) or ratios (floats); all channels are
            the only one if there are none.
        choice_mode: Whether the choice is told as a ``number`` or as a ``ratio``.
    """

    def __init__(
        self,
        num_channels: int,
        candidate_choices: Sequence[float] = (),
        choice_mode: str = "number",
    ) -> None:
        super().__init__(num_channels, choice_mode)
        whole = num_channels if choice_mode == "number" else 1.0
        self.candidate_choices = sorted(candidate_choices or [whole])
        for candidate in self.candidate_choices:
            count_of(candidate, num_channels, f"{type(self).__name__}: a candidate")

    def mask_of(self, choice: Any) -> Mask:
        """The mask that a candidate stands for.

        Raises:
            ChoiceError: If it is none of the candidates.
        """
        if choice not in self.candidate_choices or isinstance(choice, bool):
            raise ChoiceError(
                f"{type(self).__name__}: {choice!r} is none of its candidates "
                f"{self.candidate_choices}."
            )
        return super().mask_of(choice)


class DerivedMutableChannel(BaseMutableChannel):
    """Channels made of those of others; it follows them and cannot be chosen.

    One rule for all: a channel is there when all the channels that it is made of are.

    Args:
        sources: The mutable channels that it follows.
        made_of: (num_channels, k) what each channel is made of, counted through all sources.
    """

    def __init__(self, sources: Sequence[BaseMutableChannel], made_of: Ids) -> None:
        super().__init__(len(made_of))
        self.sources = list(sources)
        self.made_of = made_of

    @property
    def current_mask(self) -> Mask:
        """(num_channels,) which channels are kept."""
        kept = np.concatenate([source.current_mask for source in self.sources])
        return np.asarray(kept[self.made_of].all(axis=1))

    @property
    def current_choice(self) -> int:
        """How many channels are kept."""
        return self.activated_channels


def concatenate(mutables: Sequence[BaseMutableChannel]) -> DerivedMutableChannel:
    """The channels of several, one after the other."""
    total = sum(mutable.num_channels for mutable in mutables)
    return DerivedMutableChannel(mutables, np.arange(total)[:, None])


def checked_mode(choice_mode: str) -> str:
    """The mode in which a choice is told.

    Raises:
        ChoiceError: If it is neither ``number`` nor ``ratio``.
    """
    if choice_mode not in ("number", "ratio"):
        raise ChoiceError(f"A choice_mode is 'number' or 'ratio', not {choice_mode!r}.")
    return choice_mode


def mask_of(choice: Any, num_channels: int, where: str) -> Mask:
    """The mask that a list of booleans, or of the indices to keep, stands for.

    Raises:
        ChoiceError: If it is neither, keeps nothing, or does not fit.
    """
    array = choice if isinstance(choice, np.ndarray) else None
    entries = choice.tolist() if array is not None else choice
    if not isinstance(entries, list | tuple) or (array is not None and array.ndim != 1):
        raise ChoiceError(f"{where}: {choice!r} is no count, ratio, mask or list of indices.")
    booleans = sum(isinstance(entry, bool | np.bool_) for entry in entries)
    if entries and booleans == len(entries):
        if len(entries) != num_channels or not any(entries):
            raise ChoiceError(
                f"{where} needs a mask of {num_channels} booleans, at least one of them true; "
                f"this one has {len(entries)}, {sum(entries)} of them true."
            )
        return np.array(entries, bool)
    whole = all(isinstance(entry, int | np.integer) for entry in entries)
    if not entries or booleans or not whole:
        raise ChoiceError(f"{where} needs a list of indices, at least one, or of booleans.")
    wrong = [entry for entry in entries if not 0 <= entry < num_channels]
    if wrong:
        raise ChoiceError(
            f"{where} has the channels 0 to {num_channels - 1}; its choice names {wrong[0]}."
        )
    if len(set(entries)) < len(entries):
        raise ChoiceError(f"{where} has the same index twice in its choice.")
    mask = np.zeros(num_channels, bool)
    mask[list(entries)] = True
    return mask
