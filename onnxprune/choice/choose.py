"""Choosing what to keep: the best channels, as many as the budgets allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from onnxprune.budget import BUDGETS, Budget
from onnxprune.choice import curves  # noqa: F401 - importing registers a scope
from onnxprune.choice.choices import Choices
from onnxprune.choice.limits import Bound, Limits, limits_of
from onnxprune.choice.refill import refill
from onnxprune.choice.scope import SCOPES, Problem
from onnxprune.choice.search import search
from onnxprune.choice.select import select
from onnxprune.errors import OnnxPruneError
from onnxprune.importance import Evidence, find_importance
from onnxprune.importance.reduce import NORMALISATIONS
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["choose", "sample"]


def choose(
    units: Units,
    budget: Budget | Sequence[Budget],
    importance: str = "l1",
    protect: Sequence[str] = (),
    round_to: int = 1,
    roles: Collection[str] = (),
    only: Sequence[str] = (),
    at_least: Bound = 1,
    at_most: Bound = 1.0,
    scope: str = "local",
    normalisation: str = "mean",
    evidence: Evidence | Callable[[], Evidence] | None = None,
) -> Choices:
    """Choose what every unit keeps; the units' current choices become these.

    Of all choices that the scope offers, it is the largest that meets every budget.

    Args:
        units: All units of a model.
        budget: How much may stay, such as ``ratio(0.5)`` or ``macs(0.5)``; of several all hold.
        importance: The name of a registered importance, or a norm such as ``l0.5``.
        protect: Patterns (``*``, ``?``) of units, or of modules or nodes whose outputs stay whole.
        round_to: Kept counts are multiples of this, at least one of them; units that are too
            small for that stay whole.
        roles: What may go: ``channel``, ``head``, ...; everything if empty.
        only: Patterns of what may go, as for `protect`; everything if empty.
        at_least: What a unit keeps at least: a count (an integer) or a ratio (a float), for all
            units or by pattern.
        at_most: What a unit keeps at most, alike.
        scope: The name of a registered scope: ``local`` (one ratio for all units), ``global`` (one
            threshold for all units of a class), ``curves`` (needs `Evidence.sensitivity`).
        normalisation: How scores of different units become comparable, of `NORMALISATIONS`.
        evidence: What was measured of the model, for importances that need more than weights; or
            what measures it, which is called when nothing else can be found wrong.

    Returns:
        The choices.

    Raises:
        NothingToPrune: If no unit may lose channels, or none of those that are asked for.
        BudgetError: If even the smallest choice exceeds a budget; it says what holds the rest.
        ChoiceError: If a pattern matches nothing, there is no such role, or bounds contradict.
        OnnxPruneError: If there is no such importance, budget, scope or normalisation, a number is
            out of range, or the importance needs evidence that is not given.
    """
    budgets = _budgets(budget)
    score, family_of = find_importance(importance), SCOPES.get(scope)
    alike = NORMALISATIONS.get(normalisation)
    free = select(units, only, protect, roles)
    limits = limits_of(units, round_to, at_least, at_most)
    evidence = evidence() if callable(evidence) else evidence or Evidence()
    score.check(evidence)
    units.reset()
    scores = {unit.name: score(unit, evidence) for unit in free}
    ranks = {name: np.argsort(-found, kind="stable") for name, found in scores.items()}
    given = (units, free, scores, ranks, limits, budgets, evidence, alike, score.cumulative)
    search(problem := Problem(*given), family_of(problem))
    return Choices.of(units)


def sample(
    units: Units,
    seed: int,
    ratio: tuple[float, float] = (0.3, 1.0),
    only: Sequence[MutableChannelUnit] | None = None,
) -> Choices:
    """Random choices: every unit keeps a random part of a random size.

    Args:
        units: All units of a model; their current choices become these.
        seed: Decides everything.
        ratio: The range of the kept ratio.
        only: The units that lose channels; all that may if None.

    Returns:
        The choices.
    """
    random = np.random.default_rng(seed)
    ranks = {unit.name: random.permutation(unit.num_channels) for unit in units.mutable}
    units.reset()
    for unit in units.mutable if only is None else only:
        count = Limits().count(unit, unit.num_channels * float(random.uniform(*ratio)))
        unit.set_mask(unit.first(ranks[unit.name], count))
    refill(units, ranks)
    return Choices.of(units)


def _budgets(budget: Budget | Sequence[Budget]) -> list[Budget]:
    """All budgets, each of a kind that there is."""
    budgets = [budget] if isinstance(budget, Budget) else list(budget)
    if not budgets:
        raise OnnxPruneError("There is no budget; give at least one, such as macs(0.5).")
    for each in budgets:
        if each.of != "ratio":
            BUDGETS.get(each.of)
    return budgets
