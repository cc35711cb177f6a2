"""How many channels a unit may keep: bounds and multiples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxprune.choice.select import matching
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["Bound", "Limits", "limits_of"]

Bound = float | Mapping[str, float]
"""A count (an integer) or a ratio (a float), for every unit or for those that patterns match."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many channels units may keep.

    Attributes:
        round_to: Kept counts are multiples of this.
        bounds: Unit -> the fewest and the most channels; from one to all if it is not named.
    """

    round_to: int = 1
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def range(self, unit: MutableChannelUnit) -> tuple[int, int]:
        """The fewest and the most channels that a unit may keep, in whole multiples.

        At least one multiple stays, whatever the bounds; a unit too small for that stays whole.
        """
        step, size = self._step(unit), unit.num_channels
        least, most = self.bounds.get(unit.name, (1, size))
        low = min(math.ceil(least / step) * step, size)
        return low, size if most >= size else min(max(most // step, 1) * step, size)

    def count(self, unit: MutableChannelUnit, wanted: float) -> int:
        """The count that a unit may keep, nearest to the one that is wanted."""
        step = self._step(unit)
        low, high = self.range(unit)
        nearest = (max(1, int(wanted + 1e-9)) + step // 2) // step * step  # 0.29 of 100 is 29
        return unit.rounded(min(max(low, nearest), high))

    def _step(self, unit: MutableChannelUnit) -> int:
        return math.lcm(self.round_to, unit.num_groups)


def limits_of(units: Units, round_to: int, at_least: Bound, at_most: Bound) -> Limits:
    """The limits that a user asks for.

    Args:
        units: All units of a model.
        round_to: Kept counts are multiples of this.
        at_least: What units keep at least.
        at_most: What units keep at most.

    Raises:
        OnnxPruneError: If `round_to` is below 1, or a bound is no count and no ratio.
        ChoiceError: If a pattern matches nothing, or the bounds of a unit leave nothing between.
    """
    if round_to < 1:
        raise OnnxPruneError(f"Kept counts cannot be multiples of {round_to}; give 1 or more.")
    least, most = _by_unit(units, at_least), _by_unit(units, at_most)
    bounds = {}
    for unit in units.mutable:
        size, low, high = unit.num_channels, least.get(unit.name, 1), most.get(unit.name, 1.0)
        fewest = math.ceil(size * low - 1e-9) if isinstance(low, float) else low
        largest = int(size * high + 1e-9) if isinstance(high, float) else high
        bounds[unit.name] = int(fewest), int(largest)
    limits = Limits(round_to, bounds)
    for unit in units.mutable:
        low, high = limits.range(unit)
        if low > high:
            raise ChoiceError(
                f"The unit '{unit.name}' of {unit.num_channels} channels cannot keep at least "
                f"{low} and at most {high} of them; lower the minimum or raise the maximum."
            )
    return limits


def _by_unit(units: Units, bound: Bound) -> dict[str, float]:
    """Unit -> its bound; where several patterns match, the last counts."""
    if not isinstance(bound, Mapping):
        bound = {"*": bound}
    found: dict[str, float] = {}
    for pattern, value in bound.items():
        most = 1 if isinstance(value, float) else math.inf
        if isinstance(value, bool) or not 0 < value <= most:
            raise OnnxPruneError(
                f"A unit cannot be bound to {value} of its channels; give a count (an integer, at "
                f"least 1) or a ratio (with a decimal point, above 0 and at most 1)."
            )
        found |= dict.fromkeys(matching(units, pattern, "bound"), value)
    return found
