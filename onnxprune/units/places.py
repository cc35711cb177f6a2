"""Where the channels of units stand on the axes of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.factors import flatten
from onnxprune.axes.labels import Blocks, Labels

__all__ = ["Place", "Places", "stored"]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A unit's footprint on one axis of one initializer, as it is stored.

    Attributes:
        tensor: The initializer.
        axis: Its axis.
        positions: (num_channels, repeats) row i holds the indices of channel i on that axis; where
            groups choose by themselves, counted through all groups.
        blocks: The groups of a weight in which every group chooses by itself.
    """

    tensor: ir.Value
    axis: int
    positions: Ids
    blocks: Blocks | None = None


def stored(labels: Labels | None, atoms: Ids) -> Iterator[Place]:
    """Where the channels of one unit stand in the weights of its graph, as they are stored.

    Args:
        labels: The labels of the graph, None for a model that is not labelled.
        atoms: (num_channels,) the atom of each channel.
    """
    if labels is not None:
        found = Places(labels, [atoms])
        for value in labels.graph.initializers.values():
            for _, _, place in found.of(value):
                yield place


class Places:
    """Finds the channels of units in labels.

    Args:
        labels: The labels of a graph.
        units: (num_channels,) the atoms of each unit.
    """

    def __init__(self, labels: Labels, units: Sequence[Ids]) -> None:
        self.labels = labels
        self.atoms = labels.atoms
        self._hidden = hidden(labels)
        self._sizes = np.array([len(atoms) for atoms in units], np.int64)
        self._unit_of = np.full(len(self.atoms), -1, np.int64)
        self._place_in = np.zeros(len(self.atoms), np.int64)
        for i, atoms in enumerate(units):
            self._unit_of[atoms] = i
            self._place_in[atoms] = np.arange(len(atoms))

    def of(self, value: ir.Value) -> Iterator[tuple[int, int, Place]]:
        """Each unit on each axis of a tensor: its position, an atom of it, where it stands."""
        for axis, factors in enumerate(self.labels.axes.get(value, ())):
            blocks = blocks_of(self.labels, value, axis)
            label = flatten(self.atoms, factors, 0).label if blocks is None else flat(blocks)
            for unit, atom, rows in self._rows(label):
                yield unit, atom, Place(value, axis, rows, blocks)

    def _rows(self, label: Ids | None) -> Iterator[tuple[int, int, Ids]]:
        """Each unit in a label: an atom of it, and the (num_channels, repeats) rows it owns."""
        for column in columns(self.atoms, self._hidden, label):
            units = self._unit_of[column]
            order = np.lexsort((self._place_in[column], units))
            order = order[np.searchsorted(units[order], 0) :]
            for rows in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
                unit = int(units[rows[0]]) if len(rows) else -1
                if unit >= 0 and len(rows) % self._sizes[unit] == 0:
                    yield unit, int(column[rows[0]]), rows.reshape(self._sizes[unit], -1)


def hidden(labels: Labels) -> npt.NDArray[np.bool_]:
    """(barriers + 1,) whether what each barrier freezes is no channel at all: kernels, pixels."""
    return np.array([barrier.kind == "whole" for barrier in labels.barriers] + [False])


def columns(atoms: Atoms, hidden: npt.NDArray[np.bool_], label: Ids | None) -> Ids:
    """(k, n) the columns of a label, frozen atoms included, hidden ones 0."""
    if label is None:
        return np.zeros((0, 0), np.int64)
    full = atoms.expand(label)
    why = atoms.why(full)
    return np.where((why >= 0) & hidden[why], 0, full).T


def blocks_of(labels: Labels, value: ir.Value, axis: int) -> Blocks | None:
    """The groups that choose by themselves along an axis of a weight."""
    return labels.blocks.get(value) if axis == 1 else None


def flat(blocks: Blocks) -> Ids:
    """A label for the axis of a grouped weight, counted through all groups."""
    return blocks.atoms.reshape(-1, 1)
