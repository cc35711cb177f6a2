"""Budgets: how much of the model may stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxprune.budget.cost import Cost
from onnxprune.errors import OnnxPruneError
from onnxprune.registry import Registry

__all__ = ["BUDGETS", "Budget", "budget", "macs", "params", "ratio"]

BUDGETS: Registry[Callable[[Cost], float]] = Registry("budget")
budget = BUDGETS.register


@dataclass(frozen=True, slots=True)
class Budget:
    """The fraction of something that may stay.

    Attributes:
        of: What is counted: ``ratio`` (of every unit's channels) or a registered budget.
        fraction: How much of the model's may stay, 0 < fraction <= 1.
    """

    of: str
    fraction: float

    def __post_init__(self) -> None:
        if isinstance(self.fraction, bool) or not 0 < self.fraction <= 1:
            raise OnnxPruneError(
                f"{self.of}: {self.fraction:g} is out of range; give the fraction to keep, above 0 "
                f"and at most 1."
            )

    def __str__(self) -> str:
        names = {"ratio": "channels", "params": "parameters", "macs": "MACs"}
        return f"{self.fraction:g} of the {names.get(self.of, self.of)}"


@budget("params")
def _params(cost: Cost) -> float:
    return cost.params


@budget("bytes")
def _bytes(cost: Cost) -> float:
    return cost.bytes


@budget("macs")
def _macs(cost: Cost) -> float:
    return cost.macs


def ratio(fraction: float) -> Budget:
    """Keep this fraction of every unit's channels."""
    return Budget("ratio", fraction)


def params(fraction: float) -> Budget:
    """Keep at most this fraction of the parameters."""
    return Budget("params", fraction)


def macs(fraction: float) -> Budget:
    """Keep at most this fraction of the multiply-accumulates."""
    return Budget("macs", fraction)
