"""Choosing what to keep: the best channels of every unit, as many as the budget allows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from onnxprune.axes.rule import ROLES
from onnxprune.budget import BUDGETS, Budget, cost, cost_of_cut
from onnxprune.choice.choices import Choices
from onnxprune.errors import BudgetError, ChoiceError, NothingToPrune, OnnxPruneError
from onnxprune.importance import IMPORTANCES
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["choose", "refill", "sample"]

Ranking = npt.NDArray[np.int64]


def choose(
    units: Units,
    budget: Budget,
    importance: str = "l1",
    protect: Sequence[str] = (),
    round_to: int = 1,
    roles: Collection[str] = (),
) -> Choices:
    """Choose what every unit keeps; the units' current choices become these.

    Every unit keeps the same ratio of its channels, those of the highest importance. For a budget
    other than a ratio it is the largest ratio that meets the budget.

    Args:
        units: All units of a model.
        budget: How much may stay, such as ``ratio(0.5)`` or ``macs(0.5)``.
        importance: The name of a registered importance.
        protect: Patterns (``*``, ``?``) of units, or of modules or nodes whose outputs stay whole.
        round_to: Kept counts are multiples of this, at least one of them; units that are too
            small for that stay whole.
        roles: What may go: ``channel``, ``head``, ...; everything if empty.

    Returns:
        The choices.

    Raises:
        NothingToPrune: If no unit may lose channels, or none of such a role.
        BudgetError: If even the smallest choice exceeds the budget.
        ChoiceError: If a pattern to protect matches nothing, or there is no such role.
        OnnxPruneError: If there is no such importance or budget, or `round_to` is below 1.
    """
    if round_to < 1:
        raise OnnxPruneError(f"Kept counts cannot be multiples of {round_to}; give 1 or more.")
    score = IMPORTANCES.get(importance)
    if not units.graph.initializers:
        raise NothingToPrune(f"{units.graph.source}: it has no weights, so nothing can be pruned.")
    for role in roles:
        if role not in ROLES:
            raise ChoiceError(f"There are no units of kind '{role}'; there are {', '.join(ROLES)}.")
    free = _free(units, protect)
    if roles:
        free = [unit for unit in free if unit.role in roles]
    if not free:
        raise NothingToPrune(_no_role(units, roles))
    units.reset()
    ranks = {u.name: np.argsort(-score(u), kind="stable") for u in free}
    if budget.of == "ratio":
        _keep(free, ranks, budget.fraction, round_to)
        refill(units, ranks)
    else:
        _search(units, free, ranks, budget, round_to)
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
        _keep([unit], ranks, float(random.uniform(*ratio)), 1)
    refill(units, ranks)
    return Choices.of(units)


def _free(units: Units, protect: Sequence[str]) -> list[MutableChannelUnit]:
    """The units that may lose channels and are not protected."""
    if not units.mutable:
        distinct: dict[tuple[str, str], str] = {}
        for barrier in sorted(units.barriers(), key=lambda barrier: not barrier.op):
            distinct.setdefault((barrier.op, barrier.reason), str(barrier).rstrip("."))
        reasons = "; ".join(list(distinct.values())[:3])
        raise NothingToPrune(
            f"{units.graph.source}: no unit may lose channels"
            + (f", since {reasons}." if reasons else ", since no two layers share channels.")
        )
    names = {unit.name: _names(unit) for unit in units}
    for pattern in protect:
        if not any(fnmatchcase(name, pattern) for found in names.values() for name in found):
            known = ", ".join(unit.name for unit in units.mutable[:3])
            raise ChoiceError(
                f"Nothing to protect matches '{pattern}'; units are named as {known}."
            )
    free = [
        unit
        for unit in units.mutable
        if not any(fnmatchcase(name, p) for name in names[unit.name] for p in protect)
    ]
    if not free:
        raise NothingToPrune(
            f"{units.graph.source}: every unit that may lose channels is protected."
        )
    return free


def _no_role(units: Units, roles: Collection[str]) -> str:
    """What to tell who asks for units that there are not."""
    there = ", ".join(sorted({unit.role for unit in units.mutable}))
    return (
        f"{units.graph.source}: no unit of {' or '.join(sorted(roles))} may lose channels; those "
        f"that may are of {there}."
    )


def _names(unit: MutableChannelUnit) -> set[str]:
    """What a pattern may call a unit: itself, and the modules and nodes that produce it."""
    produced = unit.output_related
    return {unit.name, *(c.name for c in produced), *(c.node for c in produced)}


def _keep(
    free: Sequence[MutableChannelUnit], ranks: Mapping[str, Ranking], ratio: float, round_to: int
) -> None:
    """Every unit keeps the same ratio of its channels, rounded to the nearest multiple."""
    for unit in free:
        step = math.lcm(round_to, unit.num_groups)
        wanted = max(1, int(unit.num_channels * ratio + 1e-9))  # 0.29 of 100 is 29
        count = min(max(step, (wanted + step // 2) // step * step), unit.num_channels)
        unit.set_mask(unit.first(ranks[unit.name], unit.rounded(count)))


def _search(
    units: Units,
    free: Sequence[MutableChannelUnit],
    ranks: Mapping[str, Ranking],
    budget: Budget,
    round_to: int,
) -> None:
    """The largest ratio that meets the budget, by bisection: costs grow with the ratio."""
    measure = BUDGETS.get(budget.of)
    whole = measure(cost(units.graph))

    def left(ratio: float) -> float:
        _keep(free, ranks, ratio, round_to)
        refill(units, ranks)
        return measure(cost_of_cut(units.cut())) / max(whole, 1)

    if left(1.0) <= budget.fraction:
        return
    smallest = left(0.0)
    if smallest > budget.fraction:
        raise BudgetError(
            f"{units.graph.source}: {budget} cannot be reached; the smallest choice leaves "
            f"{smallest:.4g}; ask for more, protect less or round to smaller multiples."
        )
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) <= budget.fraction else (low, middle)
    left(low)


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
