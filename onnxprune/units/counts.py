"""Counts and ratios, and how they are rounded."""

from __future__ import annotations

import numpy as np

from onnxprune.errors import ChoiceError

__all__ = ["count_of", "make_divisible"]


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
            f"{where}: a ratio of {choice} is not above 0 and at most 1; write a count as an "
            f"integer."
        )
    return max(1, int(num_channels // groups * choice)) * groups


def make_divisible(
    value: float, divisor: int, min_value: int | None = None, min_ratio: float = 0.9
) -> int:
    """The multiple of `divisor` that is nearest to a number of channels.

    Args:
        value: The number of channels.
        divisor: What the result is a multiple of.
        min_value: The least result; never below `divisor`.
        min_ratio: Where the result is less than this part of `value`, one `divisor` is added.

    Returns:
        The rounded number.

    Example::

        >>> make_divisible(20, 8), make_divisible(17, 8), make_divisible(9, 8)
        (24, 16, 16)
    """
    least = max(divisor, min_value or divisor)
    rounded = max(least, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < min_ratio * value else rounded
