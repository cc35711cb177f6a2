"""Least squares by its normal equations, fed batch by batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["NormalEquations"]

_DIGITS = 1e-6
"""The least ridge: below it, float32 does not tell a column from a sum of others."""

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


class NormalEquations:
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
        self._gram += x.swapaxes(1, 2) @ x
        self._cross += x.swapaxes(1, 2) @ y
        self._squares += np.square(y).sum(1, dtype=np.float64)

    def _start(self, rows: Array, results: Array) -> None:
        (groups, _, columns), outs = rows.shape, results.shape[-1]
        self._row_shift: Doubles = rows.mean(1, keepdims=True, dtype=np.float64)
        self._result_shift: Doubles = results.mean(1, keepdims=True, dtype=np.float64)
        if not self._centred:
            self._row_shift = np.zeros_like(self._row_shift)
            self._result_shift = np.zeros_like(self._result_shift)
        self._rows = np.zeros((groups, columns))
        self._results = np.zeros((groups, outs))
        self._gram = np.zeros((groups, columns, columns))
        self._cross = np.zeros((groups, columns, outs))
        self._squares = np.zeros((groups, outs))

    def covariance(self) -> Doubles:
        """(groups, columns, columns) of the rows; mean products where there is no offset."""
        gram = self._gram / self.samples
        mean = self._rows / self.samples
        return gram - mean[:, :, None] * mean[:, None, :] if self._centred else gram

    def variance(self) -> Doubles:
        """(groups, results) of the results; mean squares where there is no offset."""
        mean = self._results / self.samples if self._centred else 0.0
        return np.asarray(np.maximum(self._squares / self.samples - np.square(mean), 0))

    def solve(self, prior: Array, ridge: float) -> tuple[Doubles, Doubles]:
        """The (groups, columns, results) matrix and the (groups, results) offset.

        Args:
            prior: The matrix that is kept to where the rows do not tell.
            ridge: How firmly, as a part of the rows' mean variance; infinite for nothing else.
        """
        mean_row, mean_result = self._rows / self.samples, self._results / self.samples
        cross = self._cross / self.samples
        if self._centred:
            cross = cross - mean_row[:, :, None] * mean_result[:, None, :]
        covariance = self.covariance()
        matrix = prior.astype(np.float64)
        for group, gram in enumerate(covariance if math.isfinite(ridge) else ()):
            rest = cross[group] - gram @ matrix[group]
            matrix[group] += solved(gram, rest, ridge)
        means = mean_row + self._row_shift[:, 0]
        offset = mean_result + self._result_shift[:, 0] - np.einsum("gk,gko->go", means, matrix)
        return matrix, offset


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
    damping = max(ridge, _DIGITS) * float(variance[alive].mean())
    while True:
        try:
            factor = np.linalg.cholesky(inner + damping * np.eye(len(inner)))
        except np.linalg.LinAlgError:
            damping = max(10 * damping, 1e-12 * float(variance.max()))
            continue
        half = np.linalg.solve(factor, right[alive])
        solution[alive] = np.linalg.solve(factor.T, half)
        return solution
