"""Least squares of more columns than their products would fit into memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxprune.refit.normal import DIGITS, Equations, NormalEquations

__all__ = ["DualEquations", "equations"]

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

_ROWS = 4096
_LIMIT = 1 << 29
"""Rows that are kept, and their bytes."""

_BLOCK = 1024


def equations(columns: int, limit: int, centred: bool = True) -> Equations:
    """What finds a matrix of so many columns.

    Args:
        columns: The number of columns.
        limit: Of more columns than these no products are summed up, but rows kept.
        centred: Whether there is an offset.
    """
    return NormalEquations(centred) if columns <= limit else DualEquations(centred)


class DualEquations(Equations):
    """Keeps rows, and solves for as many unknowns as there are rows (kernel ridge regression).

    The solution is that of `NormalEquations` for the same rows; beyond a limit no more are kept.
    """

    def _start(self, rows: Array, results: Array) -> None:
        super()._start(rows, results)
        self._kept: list[tuple[Array, Array]] = []
        self._left = min(_ROWS, max(1, _LIMIT // max(1, rows[:, 0].nbytes)))

    def _take(self, rows: Array, results: Array) -> None:
        if self._left:
            self._kept.append((rows[:, : self._left], results[:, : self._left]))
            self._left -= self._kept[-1][0].shape[1]

    def spread(self, matrix: Doubles) -> Doubles:
        """(groups, results) the variance of what a matrix makes of the rows, as `variance`."""
        rows, _ = self._centred_rows()
        return np.asarray(np.square(rows @ matrix.astype(rows.dtype)).mean(1, dtype=np.float64))

    def _step(self, matrix: Doubles, ridge: float) -> Doubles:
        rows, results = self._centred_rows()
        rest = results - rows @ matrix.astype(rows.dtype)
        return np.stack([_solved(x, y, ridge) for x, y in zip(rows, rest, strict=True)])

    def _centred_rows(self) -> tuple[Array, Array]:
        """(groups, n, columns) the rows that were kept and (groups, n, results) what they give."""
        rows, results = (np.concatenate(part, axis=1) for part in zip(*self._kept, strict=True))
        if self._centred:
            rows -= (self._rows / self.samples)[:, None].astype(rows.dtype)
            results -= (self._results / self.samples)[:, None].astype(results.dtype)
        return rows, results


def _solved(rows: Array, results: Array, ridge: float) -> Doubles:
    """What `solved` finds, of the rows themselves."""
    variance = np.square(rows).mean(axis=0, dtype=np.float64)
    alive = variance > 1e-12 * max(float(variance.max()), 1e-300)
    if not alive.any():
        return np.zeros((rows.shape[1], results.shape[1]))
    gram = max(ridge, DIGITS) * float(variance[alive].mean()) * len(rows) * np.eye(len(rows))
    for start in range(0, rows.shape[1], _BLOCK):
        block = rows[:, start : start + _BLOCK].astype(np.float64)
        gram += block @ block.T
    found = np.linalg.solve(gram, results.astype(np.float64))
    step = (rows.T @ found.astype(rows.dtype)).astype(np.float64)
    return np.where(alive[:, None], step, 0)
