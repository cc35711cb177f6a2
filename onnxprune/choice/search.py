"""The largest choice of a family that meets all budgets."""

from __future__ import annotations

from collections.abc import Mapping

from onnxprune.axes.cut import Cut
from onnxprune.budget import Budget, parts, parts_of_cut
from onnxprune.choice.left import what_is_left
from onnxprune.choice.refill import refill
from onnxprune.choice.scope import Family, Problem
from onnxprune.errors import BudgetError

__all__ = ["search"]

_PRECISION = 1e-4


def search(problem: Problem, family: Family) -> None:
    """Let the units keep the largest choice of a family that meets the budgets.

    Found by bisection: costs grow with the choice.

    Args:
        problem: What is to be chosen; its units' current choices become the result.
        family: The choices.

    Raises:
        BudgetError: If even the smallest choice exceeds a budget.
        OnnxPruneError: If there is no such budget.
    """
    ratios = [budget.fraction for budget in problem.budgets if budget.of == "ratio"]
    measured = [budget for budget in problem.budgets if budget.of != "ratio"]
    whole = {b.of: sum(n for _, n in parts(b.of, problem.units.graph)) for b in measured}

    def exceeded(ratio: float) -> Mapping[Budget, float]:
        """The budgets that the choice does not meet, and what it leaves of the model."""
        cut = _keep(problem, family, ratio)
        left = {
            budget: sum(n for _, n in parts_of_cut(budget.of, cut)) / max(whole[budget.of], 1)
            for budget in measured
        }
        return {budget: share for budget, share in left.items() if share > budget.fraction}

    high = min(ratios, default=1.0)
    if not exceeded(high):
        return
    low = 0.0
    for budget, smallest in exceeded(low).items():
        raise BudgetError(
            f"{problem.units.graph.source}: {budget} cannot be reached; the smallest choice leaves "
            f"{smallest:.4g}; {what_is_left(problem, budget.of)}; ask for more, protect less or "
            f"round to smaller multiples."
        )
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if exceeded(middle) else (middle, high)
    _keep(problem, family, low)


def _keep(problem: Problem, family: Family, ratio: float) -> Cut:
    """Let the units keep one choice of a family, and what nothing can do without."""
    for name, mask in family(ratio).items():
        problem.units[name].set_mask(mask)
    refill(problem.units, problem.ranks)
    return problem.units.cut()
