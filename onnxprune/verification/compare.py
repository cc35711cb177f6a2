"""Comparing answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ABSOLUTE", "RELATIVE", "ROUNDING", "Difference", "compare", "differences"]

ABSOLUTE = 1e-5
RELATIVE = 1e-4

ROUNDING = 10
"""Times the tolerance: beyond it a float32 difference is no longer put down to rounding."""

Outputs = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far answers are from their reference.

    Attributes:
        error: The largest |answer - reference|.
        excess: The largest |answer - reference| / (ABSOLUTE + RELATIVE * |reference|); the
            answers agree when it is at most 1.
        varied: Whether at least one reference output has finite values that differ.
    """

    error: float
    excess: float
    varied: bool

    @property
    def agrees(self) -> bool:
        """Whether every element is within tolerance."""
        return self.excess <= 1

    def __or__(self, other: Difference) -> Difference:
        return Difference(
            max(self.error, other.error),
            max(self.excess, other.excess),
            self.varied or other.varied,
        )


def compare(answers: Outputs, references: Outputs) -> Difference:
    """Compare outputs by name, element by element; equal infinities and NaNs agree.

    Args:
        answers: The pruned model's outputs.
        references: What they must be.
    """
    found = Difference(0.0, 0.0, False)
    for name, reference in references.items():
        found |= _compare(answers[name], reference)
    return found


def differences(answers: Sequence[Outputs], references: Sequence[Outputs]) -> Difference:
    """Compare several runs."""
    found = Difference(0.0, 0.0, False)
    for answer, reference in zip(answers, references, strict=True):
        found |= compare(answer, reference)
    return found


def _compare(answer: npt.NDArray[np.generic], reference: npt.NDArray[np.generic]) -> Difference:
    if answer.shape != reference.shape:
        return Difference(np.inf, np.inf, False)
    if not np.issubdtype(reference.dtype, np.number):
        same = bool((answer == reference).all())
        return Difference(0.0, 0.0, True) if same else Difference(np.inf, np.inf, True)
    a, r = answer.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(r)
    if not ((a == r) | finite | (np.isnan(a) & np.isnan(r))).all():
        return Difference(np.inf, np.inf, False)
    error = np.where(finite, np.abs(a - np.where(finite, r, 0)), 0)
    error = np.where(np.isnan(error), np.inf, error)
    excess = error / (ABSOLUTE + RELATIVE * np.abs(np.where(finite, r, 0)))
    varied = bool(finite.any() and np.ptp(r[finite]) > 0)
    return Difference(float(error.max(initial=0)), float(excess.max(initial=0)), varied)
