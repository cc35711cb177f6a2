"""Least squares by normal equations, fed batch by batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

__all__ = ["DIGITS", "RIDGE", "Equations", "NormalEquations", "solved"]

DIGITS = 1e-6
"""The least ridge: below it, float32 does not tell a column from a sum of others."""

RIDGE = 1e-3
FEW = 0.4
"""The ridge if none is asked for; or, where that is more, this times (columns / rows)^1.5."""

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


class Equations(ABC):
    """Finds the matrix, and the offset, that make rows into results with the least square error.

    What is summed is in float64, of differences from the first batch's means, so that a mean far
    from zero costs no digits.

    Args:
        centred: Whether there is an offset.
    """

    def __init__(self, centred: bool = True) -> None:
        self._centred = centred
        self.samples = 0

    def add(self, rows: Array, results: Array) -> None:
        """Take (groups, n, columns) rows and the (groups, n, results) they should give."""
        rows, results = (a.astype(np.promote_types(a.dtype, np.float32)) for a in (rows, results))
        if not self.samples:
            self._start(rows, results)
        x = rows - self._row_shift.astype(rows.dtype)
        y = results - self._result_shift.astype(results.dtype)
        self.samples += rows.shape[1]
        self._rows += x.sum(1, dtype=np.float64)
        self._results += y.sum(1, dtype=np.float64)
        self._squares += np.square(y).sum(1, dtype=np.float64)
        self._take(x, y)

    def _start(self, rows: Array, results: Array) -> None:
        (groups, _, columns), outs = rows.shape, results.shape[-1]
        self._row_shift: Doubles = rows.mean(1, keepdims=True, dtype=np.float64)
        self._result_shift: Doubles = results.mean(1, keepdims=True, dtype=np.float64)
        if not self._centred:
            self._row_shift = np.zeros_like(self._row_shift)
            self._result_shift = np.zeros_like(self._result_shift)
        self._rows = np.zeros((groups, columns))
        self._results = np.zeros((groups, outs))
        self._squares = np.zeros((groups, outs))

    @abstractmethod
    def _take(self, rows: Array, results: Array) -> None:
        """Take rows and results less what they are shifted by."""

    @abstractmethod
    def _step(self, matrix: Doubles, ridge: float) -> Doubles:
        """What is to be added to a (groups, columns, results) matrix that is kept to."""

    @abstractmethod
    def spread(self, matrix: Doubles) -> Doubles:
        """(groups, results) the variance of what a matrix makes of the rows, as `variance`."""

    def variance(self) -> Doubles:
        """(groups, results) of the results; mean squares where there is no offset."""
        mean = self._results / self.samples if self._centred else 0.0
        return np.asarray(np.maximum(self._squares / self.samples - np.square(mean), 0))

    def solve(self, prior: Array, ridge: float | None) -> tuple[Doubles, Doubles]:
        """The (groups, columns, results) matrix and the (groups, results) offset.

        Args:
            prior: The matrix that is kept to where the rows do not tell.
            ridge: How firmly, as a part of the rows' mean variance; infinite for nothing else. None
                for 0.001, or 0.4 (columns / rows)^1.5 where that is more.
        """
        matrix = prior.astype(np.float64)
        if ridge is None:
            ridge = max(RIDGE, FEW * (matrix.shape[1] / self.samples) ** 1.5)
        if math.isfinite(ridge):
            matrix += self._step(matrix, ridge)
        means = self._rows / self.samples + self._row_shift[:, 0]
        given = self._results / self.samples + self._result_shift[:, 0]
        return matrix, given - np.einsum("gk,gko->go", means, matrix)


class NormalEquations(Equations):
    """Sums up the products of all columns: their square in memory, however many rows there are."""

    def _start(self, rows: Array, results: Array) -> None:
        super()._start(rows, results)
        (groups, _, columns), outs = rows.shape, results.shape[-1]
        self._gram = np.zeros((groups, columns, columns))
        self._cross = np.zeros((groups, columns, outs))

    def _take(self, rows: Array, results: Array) -> None:
        self._gram += rows.swapaxes(1, 2) @ rows
        self._cross += rows.swapaxes(1, 2) @ results

    def covariance(self) -> Doubles:
        """(groups, columns, columns) of the rows; mean products where there is no offset."""
        gram = self._gram / self.samples
        mean = self._rows / self.samples
        return gram - mean[:, :, None] * mean[:, None, :] if self._centred else gram

    def spread(self, matrix: Doubles) -> Doubles:
        """(groups, results) the variance of what a matrix makes of the rows, as `variance`."""
        given = self.covariance() @ matrix
        return np.asarray(np.einsum("gko,gko->go", matrix, given))

    def _step(self, matrix: Doubles, ridge: float) -> Doubles:
        cross = self._cross / self.samples
        if self._centred:
            mean_row, mean_result = self._rows / self.samples, self._results / self.samples
            cross = cross - mean_row[:, :, None] * mean_result[:, None, :]
        grams = self.covariance()
        return np.stack(
            [
                solved(gram, right - gram @ part, ridge)
                for gram, right, part in zip(grams, cross, matrix, strict=True)
            ]
        )


def solved(gram: Doubles, right: Doubles, ridge: float) -> Doubles:
    """The solution of (gram + ridge * mean variance) x = right, by Cholesky's method.

    Columns that never vary get 0; the ridge grows tenfold until the matrix is definite.
    """
    variance = np.diagonal(gram)
    alive = variance > 1e-12 * max(float(variance.max(initial=0.0)), 1e-300)
    solution = np.zeros_like(right)
    if not alive.any():
        return solution
    inner = gram[np.ix_(alive, alive)]
    damping = max(ridge, DIGITS) * float(variance[alive].mean())
    while True:
        try:
            factor = np.linalg.cholesky(inner + damping * np.eye(len(inner)))
        except np.linalg.LinAlgError:
            damping = max(10 * damping, 1e-12 * float(variance.max()))
            continue
        half = np.linalg.solve(factor, right[alive])
        solution[alive] = np.linalg.solve(factor.T, half)
        return solution
