"""What a model costs, and how much of it may stay."""

from onnxprune.budget.budget import Budget, macs, memory, params, ratio, size
from onnxprune.budget.cost import BUDGETS, Cost, budget, cost, cost_of_cut, parts, parts_of_cut

__all__ = [
    "BUDGETS",
    "Budget",
    "Cost",
    "budget",
    "cost",
    "cost_of_cut",
    "macs",
    "memory",
    "params",
    "parts",
    "parts_of_cut",
    "ratio",
    "size",
]
