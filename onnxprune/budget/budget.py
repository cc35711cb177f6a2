"""Budgets: how much of the model may stay."""

from __future__ import annotations

from dataclasses import dataclass

from onnxprune.errors import OnnxPruneError

__all__ = ["Budget", "macs", "memory", "params", "ratio", "size"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The fraction of something that may stay.

    Attributes:
        of: What is counted: ``ratio`` (of the units' channels) or a registered budget.
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
        names = {
            "ratio": "channels",
            "params": "parameters",
            "macs": "MACs",
            "memory": "activation memory",
        }
        return f"{self.fraction:g} of the {names.get(self.of, self.of)}"


def ratio(fraction: float) -> Budget:
    """Keep this fraction of the units' channels: of every unit's, or of every class of units."""
    return Budget("ratio", fraction)


def params(fraction: float) -> Budget:
    """Keep at most this fraction of the parameters."""
    return Budget("params", fraction)


def size(fraction: float) -> Budget:
    """Keep at most this fraction of the bytes of all weights."""
    return Budget("bytes", fraction)


def macs(fraction: float) -> Budget:
    """Keep at most this fraction of the multiply-accumulates."""
    return Budget("macs", fraction)


def memory(fraction: float) -> Budget:
    """Keep at most this fraction of the peak memory of activations; see `Cost`."""
    return Budget("memory", fraction)
