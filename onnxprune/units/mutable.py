"""Mutable channels: they hold what a unit keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onnxprune.errors import ChoiceError

__all__ = ["BaseMutableChannel", "SequentialMutableChannel", "SimpleMutableChannel", "count_of"]

Mask = npt.NDArray[np.bool_]


def count_of(choice: float, num_channels: int, where: str, groups: int = 1) -> int:
    """How many channels a count (an integer) or a ratio (a float in (0, 1]) keeps, at least 1.

    Where groups must keep equally many, a ratio is rounded down to a multiple of their number.

    Raises:
        ChoiceError: If the count is not in 1..num_channels or no multiple of the number of groups,
            or the ratio not in (0, 1].
    """
    if isinstance(choice, bool) or not isinstance(choice, int | float | np.integer | np.floating):
        raise ChoiceError(f"{where}: {choice!r} is neither a count nor a ratio.")
    if isinstance(choice, int | np.integer):
        if not 1 <= choice <= num_channels:
            raise ChoiceError(
                f"{where}: a count of {choice} channels is not within 1 to {num_channels}; "
                f"write a ratio with a decimal point, such as 0.5."
            )
        if choice % groups:
            raise ChoiceError(
                f"{where}: {choice} channels cannot be shared equally by its {groups} groups; "
                f"write a multiple of {groups}, or a ratio."
            )
        return int(choice)
    if not 0 < choice <= 1:
        raise ChoiceError(
            f"{where}: a ratio of {choice} is not within 0 to 1; write a count as an integer."
        )
    return max(1, int(num_channels // groups * choice)) * groups


class BaseMutableChannel(ABC):
    """Holds which of `num_channels` channels are kept.

    Args:
        num_channels: The number of channels.
    """

    def __init__(self, num_channels: int) -> None:
        self.num_channels = num_channels
        self.current_mask: Mask = np.ones(num_channels, bool)

    @property
    @abstractmethod
    def current_choice(self) -> int | Mask:
        """The choice, in the form that this kind takes."""

    @property
    def activated_channels(self) -> int:
        """How many channels are kept."""
        return int(self.current_mask.sum())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_channels={self.num_channels}, "
            f"activated_channels={self.activated_channels})"
        )


class SimpleMutableChannel(BaseMutableChannel):
    """The choice is the mask itself."""

    @property
    def current_choice(self) -> Mask:
        """The mask, (num_channels,) booleans."""
        return self.current_mask

    @current_choice.setter
    def current_choice(self, choice: Sequence[bool] | Mask) -> None:
        mask = np.asarray(choice)
        if mask.dtype != bool or mask.shape != (self.num_channels,) or not mask.any():
            raise ChoiceError(
                f"A mask of {self.num_channels} booleans, one of them true, is needed; "
                f"this one is {mask.dtype}, shape {mask.shape}."
            )
        self.current_mask = mask.copy()


class SequentialMutableChannel(BaseMutableChannel):
    """The choice is a count or a ratio; the first channels are kept."""

    @property
    def current_choice(self) -> int:
        """How many channels are kept."""
        return self.activated_channels

    @current_choice.setter
    def current_choice(self, choice: float) -> None:
        count = count_of(choice, self.num_channels, type(self).__name__)
        self.current_mask = np.arange(self.num_channels) < count
