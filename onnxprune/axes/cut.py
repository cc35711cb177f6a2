"""What a choice of atoms leaves of every tensor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.factors import Factors
from onnxprune.axes.labels import Labels
from onnxprune.graph.dims import Dim

__all__ = ["Cut", "Mask"]

Mask = npt.NDArray[np.bool_]


class Cut:
    """The tensors of a graph under a choice.

    Args:
        labels: The labels of the graph.
        keep: (atoms,) whether each atom is kept; only representatives are read.
    """

    def __init__(self, labels: Labels, keep: Mask) -> None:
        self.labels = labels
        self._keep = keep
        self._rows: dict[int, tuple[Ids, Mask | None]] = {}

    def rows(self, label: Ids | None) -> Mask | None:
        """Which rows of a label stay, None when all do."""
        if label is None:
            return None
        if id(label) not in self._rows:
            rows = np.asarray(self._keep[self.labels.resolved(label)].all(axis=1))
            self._rows[id(label)] = label, (None if rows.all() else rows)
        return self._rows[id(label)][1]

    def kept(self, atoms: Ids) -> Mask:
        """Whether each of some atoms is kept."""
        return np.asarray(self._keep[self.labels.atoms.find(atoms)])

    def size(self, axis: Factors) -> int:
        """How many indices of an axis stay; a dynamic factor counts with its stand-in."""
        size = 1
        for factor in axis:
            rows = self.rows(factor.label)
            size *= factor.size if rows is None else int(np.count_nonzero(rows))
        return size

    def mask(self, axis: Factors) -> Mask | None:
        """Which indices of a static axis stay, None when all do."""
        if all(self.rows(factor.label) is None for factor in axis):
            return None
        mask: Mask = np.ones(1, bool)
        for factor in axis:
            rows = self.rows(factor.label)
            inner: Mask = np.ones(factor.size, bool) if rows is None else rows
            mask = np.logical_and.outer(mask, inner).reshape(-1)
        return mask

    def axes(self, value: ir.Value) -> Iterator[tuple[int, Factors]]:
        """The axes of a value that lose indices."""
        for i, axis in enumerate(self.labels.axes.get(value, ())):
            if any(self.rows(factor.label) is not None for factor in axis):
                yield i, axis

    def shape(self, value: ir.Value) -> tuple[Dim, ...] | None:
        """The shape of a value after the cut, None when its rank is not known."""
        shape = self.labels.graph.shape(value)
        if shape is None:
            return None
        dims = list(shape)
        for i, axis in self.axes(value):
            dims[i] = Dim(self.size(axis), dims[i].symbol)
        return tuple(dims)
