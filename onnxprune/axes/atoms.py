"""Atoms, the smallest removable things, and what is known of them.

A *label* is an integer array of shape (n, k): row i holds the atoms on which index i of an axis
depends; the index is kept when all of them are kept. Atom 0 is always kept.

Three facts can be learnt of atoms, and each only ever adds to the last: two atoms are the same
(`merge`), an atom is always kept (`freeze`), an atom is the conjunction of others
(`substitute`). Labels given out earlier stay right, since they are resolved when they are read.
All operations work on whole arrays.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

__all__ = ["Atoms", "Ids"]

Ids = npt.NDArray[np.int64]


class Atoms:
    """A union-find over atoms, with conjunctions and the reason why frozen atoms are frozen."""

    def __init__(self) -> None:
        self._parent = np.zeros(1024, np.int64)
        self._why = np.full(1024, -1, np.int64)  # of a root: -1 alive, else a reason's number
        self._pair = np.full((1024, 2), -1, np.int64)  # of a root: the two atoms it stands for
        self._size = 1
        self._why[0] = 0

    def __len__(self) -> int:
        return self._size

    def fresh(self, count: int) -> Ids:
        """Make `count` new atoms, each its own."""
        start, self._size = self._size, self._size + count
        if self._size > len(self._parent):
            room = max(self._size, 2 * len(self._parent)) - len(self._parent)
            self._parent = np.concatenate([self._parent, np.zeros(room, np.int64)])
            self._why = np.concatenate([self._why, np.full(room, -1, np.int64)])
            self._pair = np.concatenate([self._pair, np.full((room, 2), -1, np.int64)])
        made = np.arange(start, self._size)
        self._parent[made] = made
        return made

    def find(self, atoms: Ids) -> Ids:
        """The representative of each atom."""
        roots = self._parent[atoms]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                return roots
            self._parent[atoms] = roots = above  # written at once, so that chains halve

    def why(self, atoms: Ids) -> Ids:
        """The number of the reason that froze each atom, -1 where it is alive."""
        return self._why[self.find(atoms)]

    def expand(self, label: Ids) -> Ids:
        """The label in representatives, conjunctions written out; frozen atoms keep their names."""
        label = self.find(label)
        while True:
            composed = self._pair[label, 0] >= 0
            columns = np.flatnonzero(composed.any(axis=0))
            if not len(columns):
                return label
            extra = np.where(composed, self._pair[label, 1], 0)[:, columns]
            label = np.where(composed, self._pair[label, 0], label)
            label = self.find(np.concatenate([label, extra], axis=1))

    def spell(self, label: Ids) -> Ids:
        """The expanded label with each atom once in a row, packed left; frozen ones too."""
        return _pack(self.expand(label))

    def resolve(self, label: Ids) -> Ids:
        """The label in normal form: living representatives, each once in a row, packed left."""
        return _pack(self.living(self.expand(label)))

    def living(self, expanded: Ids) -> Ids:
        """An expanded label with its frozen atoms written as 0."""
        return np.where(self._why[expanded] >= 0, 0, expanded)

    def freeze(self, label: Ids, reason: int | Ids) -> None:
        """Every atom of the label is always kept, for a reason (a number, or one for each row)."""
        expanded = self.expand(label)
        reasons = np.broadcast_to(np.reshape(reason, (-1, 1)), expanded.shape)
        alive = (self._why[expanded] < 0) & (expanded > 0)
        self._why[expanded[alive]] = reasons[alive]

    def merge(self, first: Ids, second: Ids, reason: int) -> None:
        """Atom by atom, `first` and `second` are the same; atom 0 freezes its partner.

        Neither may hold a conjunction: expand the labels first.
        """
        roots = np.stack([self.find(first), self.find(second)])
        fixed = (roots == 0).any(axis=0)
        self.freeze(roots[:, fixed].reshape(-1, 1), reason)
        before = roots = roots[:, ~fixed]
        while not np.array_equal(roots[0], roots[1]):
            low, high = roots.min(axis=0), roots.max(axis=0)
            np.minimum.at(self._parent, high, low)
            roots = np.stack([self.find(low), self.find(high)])
        why = self._why[before]
        known = why >= 0
        np.maximum.at(self._why, self.find(before)[known], why[known])

    def substitute(self, atoms: Ids, rows: Ids, reason: int) -> None:
        """Atom i is the conjunction of the atoms in row i (rows padded with 0).

        Atoms and rows must be living representatives. Atom 0, or an atom that is itself part of a
        row, freezes its row; an atom that stands on several rows makes those rows equal, column
        by column.
        """
        bad = (atoms == 0) | np.isin(rows, atoms[atoms > 0]).any(axis=1)
        self.freeze(np.concatenate([atoms[bad][:, None], rows[bad]], axis=1), reason)
        bad |= self._why[atoms] >= 0
        self.freeze(rows[bad], reason)
        atoms, rows = atoms[~bad], rows[~bad]
        atoms, first, group = np.unique(atoms, return_index=True, return_inverse=True)
        for column in rows.T:
            self.merge(column, column[first][group], reason)
        rows = rows[first]
        while rows.shape[1] > 2:
            joint = self.fresh(len(rows))
            self._pair[joint] = rows[:, -2:]
            rows = np.concatenate([rows[:, :-2], joint[:, None]], axis=1)
        self._pair[atoms] = rows

    def unify(self, first: Ids, second: Ids, reason: int) -> None:
        """The two labels, of n rows each, describe the same axis."""
        a, b = self.expand(first), self.expand(second)
        live_a, live_b = _pack(self.living(a)), _pack(self.living(b))
        if np.array_equal(live_a, live_b):
            return
        self._freeze_against(a, live_b, b, reason)
        self._freeze_against(b, live_a, a, reason)
        live_a, live_b = _pack(self.living(a)), _pack(self.living(b))
        used = np.concatenate([live_a > 0, live_b > 0], axis=1)
        if (used != used[:1]).any():  # one learns from the other: each is looked at afresh
            patterns, pattern = np.unique(used, axis=0, return_inverse=True)
            for i in range(len(patterns)):
                rows = pattern.reshape(-1) == i
                self.unify(first[rows], second[rows], reason)
        elif used.any():
            left = [column for column in live_a.T if column[0] > 0]
            right = [column for column in live_b.T if column[0] > 0]
            if self._pair_up(left, right, reason):
                self.unify(first, second, reason)

    def _freeze_against(self, label: Ids, other: Ids, other_full: Ids, reason: int) -> None:
        """Freeze the rows of `label` that meet an always kept row, for the reason known there."""
        rows = ~(other > 0).any(axis=1)
        if rows.any():
            known = self._reasons(other_full[rows])
            self.freeze(label[rows], np.where(known >= 0, known, reason))

    def _pair_up(self, left: list[Ids], right: list[Ids], reason: int) -> bool:
        """Unify full columns of living atoms; whether there is more to learn from what is left."""
        if len(left) == 1 == len(right):
            self.merge(left[0], right[0], reason)
            return False
        for alike in (np.array_equal, _isomorphic):
            for i, j in itertools.product(range(len(left)), range(len(right))):
                if alike(left[i], right[j]):
                    a, b = left.pop(i), right.pop(j)
                    self.merge(a, b, reason)
                    if alike is _isomorphic:
                        return bool(left or right)
                    return self._pair_up(left, right, reason)
        if len(left) == 1 and right:
            self.substitute(left[0], np.stack(right, axis=1), reason)
        elif len(right) == 1 and left:
            self.substitute(right[0], np.stack(left, axis=1), reason)
        elif left or right:
            self.freeze(np.stack(left + right, axis=1), reason)
        return False

    def split(self, label: Ids, outer: int, reason: int) -> tuple[Ids, Ids]:
        """Split a label of outer * inner rows into one of `outer` and one of `inner` rows."""
        inner = len(label) // outer
        for _ in range(8):
            outer_columns, inner_columns, mixed = [], [], []
            for column in self.resolve(label).T:
                grid = column.reshape(outer, inner)
                if (grid == grid[:, :1]).all():
                    outer_columns.append(grid[:, 0])
                elif (grid == grid[:1]).all():
                    inner_columns.append(grid[0])
                else:
                    mixed.append(column)
            if not mixed:
                break
            x, y = self.fresh(outer), self.fresh(inner)
            rows = np.stack([np.repeat(x, inner), np.tile(y, outer)], axis=1)
            self.substitute(mixed[0], rows, reason)
        else:
            self.freeze(label, reason)
            outer_columns, inner_columns = [], []
        known = self._reasons(self.expand(label)).reshape(outer, inner)
        first = self._explained(_stack(outer_columns, outer), known.max(axis=1))
        return first, self._explained(_stack(inner_columns, inner), known.max(axis=0))

    def _reasons(self, expanded: Ids) -> Ids:
        """For each row the number of a reason that froze one of its atoms, -1 if there is none."""
        return np.asarray(np.where(expanded > 0, self._why[expanded], -1).max(axis=1))

    def _explained(self, label: Ids, reasons: Ids) -> Ids:
        """The label; a row that says nothing is that of an atom frozen for its reason, if any."""
        bare = (label == 0).all(axis=1) & (reasons >= 0)
        atoms = self.fresh(int(bare.sum()))
        self._why[atoms] = reasons[bare]
        label[bare, 0] = atoms
        return label


def _stack(columns: list[Ids], rows: int) -> Ids:
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 1), np.int64)


def _isomorphic(a: Ids, b: Ids) -> bool:
    """Whether two columns partition the rows alike."""
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


def _pack(label: Ids) -> Ids:
    """Drop what a row says twice, then let columns that are never used together share a place."""
    columns: list[Ids] = []
    for column in label.T:
        for other in columns:
            column = np.where(column == other, 0, column)
        if not column.any():
            continue
        for i, other in enumerate(columns):
            if not ((column > 0) & (other > 0)).any():
                columns[i] = np.where(other > 0, other, column)
                break
        else:
            columns.append(column)
    return _stack(columns, len(label))
