"""Giving back channels of tensors of which nothing would be left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from onnxprune.units import MutableChannelUnit, Units

__all__ = ["Ranking", "refill"]

Ranking = npt.NDArray[np.int64]
"""(num_channels,) the channels of a unit, the best first."""


def refill(units: Units, ranks: Mapping[str, Ranking] | None = None) -> None:
    """Give back the best channels of tensors of which nothing would be left.

    Args:
        units: All units of a model; their current choices may grow.
        ranks: Unit -> its channels, the best first; in their own order if None.
    """
    ranks = ranks or {}
    owner = {int(a): (unit, i) for unit in units.mutable for i, a in enumerate(unit.atoms)}
    place = {name: np.argsort(order) / len(order) for name, order in ranks.items()}

    def give_back(unit: MutableChannelUnit, channel: int) -> None:
        """Keep a channel, and with it the best removed one of every other group."""
        unit.mask[channel] = True
        if unit.groups is not None:
            order = ranks[unit.name] if unit.name in ranks else np.arange(unit.num_channels)
            for group in set(unit.groups.tolist()) - {int(unit.groups[channel])}:
                removed = order[(unit.groups[order] == group) & ~unit.mask[order]]
                unit.mask[removed[:1]] = True

    def badness(row: Ranking) -> float:
        owners = [owner[int(atom)] for atom in row if int(atom) in owner]
        return float(sum(place[unit.name][i] for unit, i in owners if unit.name in place))

    while (found := next(units.empty(), None)) is not None:
        rows = units.labels.resolved(found[1])
        for atom in min(rows, key=badness):
            if int(atom) in owner:
                unit, i = owner[int(atom)]
                if not unit.mask[i]:
                    give_back(unit, i)
