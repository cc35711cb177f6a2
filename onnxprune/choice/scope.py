"""Scopes: among which channels a choice is made, those of one unit or of all that are alike.

A scope turns scores into a *family* of choices: a function from a number between 0 (the least that
the limits allow) and 1 (the most) to what every unit keeps, growing with that number. A search for
the largest number that meets the budgets is all that is left to do (`onnxprune.choice.search`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxprune.budget import Budget
from onnxprune.choice.limits import Limits
from onnxprune.choice.refill import Ranking
from onnxprune.importance import Evidence, Scores
from onnxprune.registry import Registry
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["FLOOR", "SCOPES", "Family", "Problem", "Scope", "class_of", "scope"]

Mask = npt.NDArray[np.bool_]

FLOOR = 0.1
"""The part of its channels that a unit keeps at least where units compete with each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What is to be chosen.

    Attributes:
        units: All units of the model, whole.
        free: Those that may lose channels.
        scores: Unit -> (num_channels,) what its channels are worth.
        ranks: Unit -> (num_channels,) its channels, the best first.
        limits: How many channels units may keep.
        budgets: What must hold of the result.
        evidence: What was measured of the model.
        alike: Makes scores of different units comparable.
        cumulative: Whether the sorted scores of a unit are an error curve.
    """

    units: Units
    free: Sequence[MutableChannelUnit]
    scores: Mapping[str, Scores]
    ranks: Mapping[str, Ranking]
    limits: Limits
    budgets: Sequence[Budget]
    evidence: Evidence
    alike: Callable[[Scores], Scores]
    cumulative: bool = False

    def best(self, unit: MutableChannelUnit, wanted: float) -> Mask:
        """The best channels of a unit, as many of them as the limits allow near a count."""
        return unit.first(self.ranks[unit.name], self.limits.count(unit, wanted))


Family = Callable[[float], Mapping[str, Mask]]
Scope = Callable[[Problem], Family]

SCOPES: Registry[Scope] = Registry("scope")
scope = SCOPES.register


@scope("local")
def local(problem: Problem) -> Family:
    """Every unit keeps the same ratio of its channels."""

    def family(ratio: float) -> dict[str, Mask]:
        return {unit.name: problem.best(unit, unit.num_channels * ratio) for unit in problem.free}

    return family


@scope("global")
def global_(problem: Problem) -> Family:
    """Every class of units that are alike keeps the same ratio of its channels, the best of them.

    One threshold cuts the scores of all units of a class, so these must be normalised; scores of
    units that are not alike are never compared. No unit keeps less than a tenth of its channels.
    """
    classes: dict[object, list[MutableChannelUnit]] = {}
    for unit in problem.free:
        classes.setdefault(class_of(unit), []).append(unit)
    members = [_ranked(problem, units) for units in classes.values()]

    def family(ratio: float) -> dict[str, Mask]:
        return {name: mask for keep in members for name, mask in keep(ratio).items()}

    return family


def class_of(unit: MutableChannelUnit) -> object:
    """What units have in common whose channels can be compared: their role, and the operators,
    axes and sides of their members, in order."""
    members = [*unit.output_related, *unit.input_related]
    return unit.role, tuple((c.op, c.axis, c.is_output_channel) for c in members)


def _ranked(problem: Problem, units: Sequence[MutableChannelUnit]) -> Family:
    """The family of a class of units: the best of all their channels, after what each needs."""
    floors, owners, levels = [], [], []
    for i, unit in enumerate(units):
        floor = max(problem.limits.range(unit)[0], math.ceil(FLOOR * unit.num_channels))
        scores = problem.alike(problem.scores[unit.name])[problem.ranks[unit.name]]
        levels.append(np.where(np.arange(len(scores)) < floor, np.inf, scores))
        owners.append(np.full(len(scores), i))
        floors.append(floor)
    order = np.argsort(-np.concatenate(levels), kind="stable")
    owner = np.concatenate(owners)[order]

    def family(ratio: float) -> dict[str, Mask]:
        quota = int(len(owner) * ratio + 1e-9)
        counts = np.maximum(np.bincount(owner[:quota], minlength=len(units)), floors)
        return {
            unit.name: problem.best(unit, int(count))
            for unit, count in zip(units, counts, strict=True)
        }

    return family
