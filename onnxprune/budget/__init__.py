"""What a model costs, and how much of it may stay."""

from onnxprune.budget.budget import BUDGETS, Budget, budget, macs, params, ratio
from onnxprune.budget.cost import Cost, cost, cost_of_cut

__all__ = ["BUDGETS", "Budget", "Cost", "budget", "cost", "cost_of_cut", "macs", "params", "ratio"]
