"""Least squares of what gets through a rectifier: below zero it does not matter how far."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.refit.dual import equations

__all__ = ["Rectified"]

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

_ROUNDS = 3
_LIMIT = 1 << 28
"""Bytes of rows that are kept."""


class Rectified:
    """Refines a least squares solution in front of a ReLU.

    Where the original gives something negative, a result that is negative too is as good as any;
    it becomes its own target, and the equations are solved again (majorisation of the squared error
    behind the ReLU; the problem is that of Zhang et al., CVPR 2015,
    https://arxiv.org/abs/1411.4229).

    Args:
        limit: Of more columns than these no products are summed up, but rows kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[tuple[Array, Array, Array | None]] = []
        self._bytes = 0

    def add(self, rows: Array, results: Array, addend: Array | None) -> None:
        """Take a batch; beyond a limit no more are kept.

        Args:
            rows: (groups, n, columns).
            results: (groups, n, results) what is to be met.
            addend: (groups, n, results) what is added to what the rows give, None for nothing.
        """
        self._bytes += rows.nbytes + 2 * results.nbytes
        if not self._kept or self._bytes <= _LIMIT:
            self._kept.append((rows, results, addend))

    def solve(
        self, matrix: Doubles, offset: Doubles, prior: Doubles, ridge: float | None
    ) -> tuple[Doubles, Doubles]:
        """A (groups, columns, results) matrix and a (groups, results) offset that are better.

        Args:
            matrix: That of the least squares solution.
            offset: What goes with it.
            prior: The matrix that is kept to where the rows do not tell.
            ridge: How firmly, as for `Equations.solve`.
        """
        for _ in range(_ROUNDS):
            found = equations(matrix.shape[1], self._limit)
            weights, shift = matrix.astype(np.float32), offset[:, None].astype(np.float32)
            for rows, results, addend in self._kept:
                more = 0 if addend is None else addend
                given = rows @ weights + shift + more
                wanted = np.where(results > 0, results, np.minimum(given, 0)) - more
                found.add(rows, wanted)
            matrix, offset = found.solve(prior, ridge)
        return matrix, offset
