"""Comparing answers, and how far they may be apart."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "ABSOLUTE",
    "RELATIVE",
    "ROUNDING",
    "STRICT",
    "Difference",
    "Tolerance",
    "compare",
    "differences",
    "rounding_of",
    "tolerance_of",
]

ABSOLUTE = 1e-5
RELATIVE = 1e-4

SMALL = 0.01
"""Of an output whose largest element is less, the absolute tolerance is less as well."""

ROUNDING = 10
"""Times the tolerance: beyond it a float32 difference is no longer put down to rounding."""

ROUNDINGS = 8
"""Times the precision of a type narrower than float32: its relative tolerance. Sums are computed in
float32, so what differs is how often a result is rounded the other way on the way to an output."""

STEPS = 1 / 16
"""Of the largest element: beyond it a difference is not put down to steps of 8 bits either. Where a
number lies between two steps the last bit of float32 decides, and the answers are then steps
apart."""

_PRECISION = {ir.DataType.FLOAT16: 2.0**-10, ir.DataType.BFLOAT16: 2.0**-7}
"""Narrow type -> the distance from 1 to the next number."""

Output: TypeAlias = "npt.NDArray[np.generic] | list[Output] | None"
"""A tensor, a sequence of them, or nothing, where it is optional."""

Outputs = Mapping[str, Output]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|answer - reference| <= absolute + relative * |reference| + spread * max |reference|.

    Of an output that is nowhere larger than 0.01 the absolute part is as much smaller, down to a
    hundredth: else anything would do for the probabilities of many classes.
    """

    absolute: float = ABSOLUTE
    relative: float = RELATIVE
    spread: float = 0.0

    def allowed(self, reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """How far each element of an answer may be from a finite reference."""
        size = np.abs(reference)
        most = float(size.max(initial=0))
        absolute = self.absolute * min(1.0, max(SMALL, most / SMALL))
        return np.asarray(absolute + self.relative * size + self.spread * most)

    def __str__(self) -> str:
        more = f" + {self.spread:g} * max |reference|" if self.spread else ""
        return f"|difference| <= {self.absolute:g} + {self.relative:g} * |reference|{more}"


STRICT = Tolerance()


def tolerance_of(dtype: ir.DataType) -> Tolerance:
    """The tolerance of what is computed in a floating point type: that of float32, or a wider one.

    Args:
        dtype: The type.
    """
    relative = max(RELATIVE, ROUNDINGS * _PRECISION.get(dtype, 0.0))
    return Tolerance(relative * ABSOLUTE / RELATIVE, relative)


def rounding_of(tolerance: Tolerance, steps: bool) -> Tolerance:
    """How far rounding alone may take answers apart, so that float64 has to decide.

    Args:
        tolerance: The tolerance of the type that is computed in.
        steps: Whether numbers are rounded to steps of 8 bits on the way.
    """
    return Tolerance(
        tolerance.absolute * ROUNDING, tolerance.relative * ROUNDING, STEPS if steps else 0.0
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """How far answers are from their reference.

    Attributes:
        error: The largest |answer - reference|.
        excess: The largest |answer - reference| / what the tolerance allows; the answers agree
            when it is at most 1.
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


def compare(answers: Outputs, references: Outputs, tolerance: Tolerance = STRICT) -> Difference:
    """Compare outputs by name, element by element; equal infinities and NaNs agree.

    Sequences are compared tensor by tensor; those of different lengths are infinitely far apart.

    Args:
        answers: The pruned model's outputs.
        references: What they must be.
        tolerance: How far apart they may be.
    """
    return _worst(
        _compare(answers[name], reference, tolerance) for name, reference in references.items()
    )


def differences(
    answers: Sequence[Outputs], references: Sequence[Outputs], tolerance: Tolerance = STRICT
) -> Difference:
    """Compare several runs."""
    pairs = zip(answers, references, strict=True)
    return _worst(compare(answer, reference, tolerance) for answer, reference in pairs)


def _worst(found: Iterable[Difference]) -> Difference:
    return functools.reduce(operator.or_, found, Difference(0.0, 0.0, False))


def _compare(answer: Output, reference: Output, tolerance: Tolerance) -> Difference:
    if isinstance(answer, np.ndarray) and isinstance(reference, np.ndarray):
        return _compare_arrays(answer, reference, tolerance)
    if isinstance(answer, list) and isinstance(reference, list) and len(answer) == len(reference):
        pairs = zip(answer, reference, strict=True)
        return _worst(_compare(part, wanted, tolerance) for part, wanted in pairs)
    same = answer is None and reference is None
    return Difference(0.0, 0.0, False) if same else Difference(np.inf, np.inf, False)


def _compare_arrays(
    answer: npt.NDArray[np.generic], reference: npt.NDArray[np.generic], tolerance: Tolerance
) -> Difference:
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
    excess = error / tolerance.allowed(np.where(finite, r, 0))
    varied = bool(finite.any() and np.ptp(r[finite]) > 0)
    return Difference(float(error.max(initial=0)), float(excess.max(initial=0)), varied)
