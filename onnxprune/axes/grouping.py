"""Equal counts in every group: what a grouped operator allows beyond rectangles.

By the sentence alone, the channels ``(g c)`` of a grouped convolution are a rectangle: the same
positions ``c`` stay in every group. The operator asks for less: equally many in each group. Where
nothing else in the graph speaks of the positions by themselves, each group chooses its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.factors import Factor, Factors, flatten
from onnxprune.axes.labels import Blocks, Bound, Grouping, Labels

__all__ = ["relax"]

Key = tuple[tuple[int, ...], tuple[int, ...]]
AxisKey = tuple[tuple[int, int], ...]


def relax(labels: Labels, refused: Iterable[int] = ()) -> Labels:
    """Let every group choose by itself wherever `Rule.within` says so and the graph allows it.

    Args:
        labels: The labels after propagation.
        refused: Atoms of positions that must stay rectangles.

    Returns:
        Labels in which those positions are atoms of their own for each group (`Labels.groupings`);
        the given ones are not changed.
    """
    finder = _Finder(labels, frozenset(refused))
    if not finder.found:
        return labels
    finder.check()
    return finder.relaxed()


@dataclass(slots=True, eq=False)
class _Candidate:
    """Positions that may become independent in each group."""

    groups: Ids  # (g,) the atom of each group
    places: Ids  # (c,) the atom of each position
    atoms: Ids  # (g, c) the new atoms
    refused: bool = False

    def group_of(self, rows: Ids) -> Ids:
        """The group that each row of a label stands in, -1 where it is not exactly one."""
        hits = (rows[:, :, None] == self.groups).any(axis=1)
        return np.where(hits.sum(axis=1) == 1, hits.argmax(axis=1), -1)


@dataclass(frozen=True, slots=True, eq=False)
class _Meeting:
    """Where a candidate's positions stand on an axis."""

    candidate: _Candidate
    row: Ids
    column: Ids
    group: Ids  # of each position, -1 where it stands alone


@dataclass(frozen=True, slots=True, eq=False)
class _Spelt:
    """An axis as one label, and the candidates on it; held together with the axis it is of."""

    axis: Factors
    label: Ids | None
    meetings: list[_Meeting]


class _Finder:
    """Finds positions that may be relaxed, and refuses those that something else speaks of."""

    def __init__(self, labels: Labels, refused: frozenset[int]) -> None:
        self.labels = labels
        self.found: dict[Key, _Candidate] = {}
        self.slots: dict[ir.Value, _Candidate] = {}
        self._spelt: dict[AxisKey, _Spelt] = {}
        self._made: dict[AxisKey, Factors] = {}
        for node, bound in labels.bound.items():
            for name, group in bound.rule.within.items():
                self._consider(node, bound, name, group)
        self._owner: dict[int, _Candidate] = {}
        for candidate in self.found.values():
            for atom in candidate.places.tolist():
                other = self._owner.setdefault(atom, candidate)
                if other is not candidate or atom in refused:
                    other.refused = candidate.refused = True
        self._owned = np.zeros(len(labels.atoms), bool)
        self._owned[list(self._owner)] = True

    def _consider(self, node: ir.Node, bound: Bound, name: str, group: str) -> None:
        places, groups = (_single(self.labels.atoms, bound.names.get(n, ())) for n in (name, group))
        if places is None or groups is None or (self.labels.atoms.why(places) >= 0).any():
            return
        key = (tuple(groups.tolist()), tuple(places.tolist()))
        if key not in self.found:
            atoms = self.labels.atoms.fresh(len(groups) * len(places))
            self.found[key] = _Candidate(groups, places, atoms.reshape(len(groups), -1))
        for value, operand in zip(node.inputs, bound.binding.inputs, strict=False):
            axes = [{t.text for t in axis.terms()} for axis in operand or ()]
            if value is not None and len(axes) > 1 and group in axes[0] and axes[1] == {name}:
                self.slots[value] = self.found[key]

    def check(self) -> None:
        """Refuse positions that stand anywhere without their group, but for the weights' slots."""
        for value, axes in self.labels.axes.items():
            for i, axis in enumerate(axes):
                for candidate in self._lonely(axis):
                    if i != 1 or not self._is_slot(value, candidate):
                        candidate.refused = True
        for bound in self.labels.bound.values():
            for name, axis in bound.names.items():
                for candidate in self._lonely(axis):
                    if not self._is_within(bound, name, candidate):
                        candidate.refused = True

    def _lonely(self, axis: Factors) -> Iterator[_Candidate]:
        """The candidates whose positions stand on an axis without their groups."""
        for meeting in self._spell(axis).meetings:
            if (meeting.group < 0).any() and not meeting.candidate.refused:
                yield meeting.candidate

    def _spell(self, axis: Factors) -> _Spelt:
        key = _key(axis)
        if key not in self._spelt:
            self._spelt[key] = self._read(axis)
        return self._spelt[key]

    def _read(self, axis: Factors) -> _Spelt:
        atoms = self.labels.atoms
        spelt = [atoms.spell(f.label) for f in axis if f.label is not None]
        owned = [label[self._owned[label]] for label in spelt]
        if not any(len(atoms) for atoms in owned):
            return _Spelt(axis, None, [])
        if any(f.dynamic for f in axis):
            for atom in np.concatenate(owned).tolist():
                self._owner[atom].refused = True
            return _Spelt(axis, None, [])
        label = spelt[0] if len(axis) == 1 else atoms.spell(_label(flatten(atoms, axis, 0)))
        row, column = np.nonzero(self._owned[label])
        owners = [self._owner[atom] for atom in label[row, column].tolist()]
        meetings = []
        for candidate in dict.fromkeys(owners):
            mine = np.array([owner is candidate for owner in owners])
            if len(np.unique(row[mine])) < mine.sum():
                candidate.refused = True
            group = candidate.group_of(label[row[mine]])
            meetings.append(_Meeting(candidate, row[mine], column[mine], group))
        return _Spelt(axis, label, meetings)

    def _is_slot(self, value: ir.Value, candidate: _Candidate) -> bool:
        """Whether axis 1 of a weight is only read by grouped operators, group by group."""
        if value.const_value is None or self.slots.get(value) is not candidate:
            return False
        for use in value.uses():
            bound = self.labels.bound.get(use.node)
            operand = None if bound is None else bound.binding.inputs[use.idx]
            term = operand[1].term if operand is not None else None
            if bound is None or term is None or not self._is_within(bound, term.text, candidate):
                return False
        return True

    def _is_within(self, bound: Bound, name: str, candidate: _Candidate) -> bool:
        group = bound.rule.within.get(name)
        if group is None:
            return False
        places, groups = (_single(self.labels.atoms, bound.names.get(n, ())) for n in (name, group))
        if places is None or groups is None:
            return False
        return np.array_equal(places, candidate.places) and np.array_equal(groups, candidate.groups)

    def relaxed(self) -> Labels:
        """The labels with new atoms for the positions that were not refused."""
        accepted = [candidate for candidate in self.found.values() if not candidate.refused]
        if not accepted:
            return self.labels
        return replace(
            self.labels,
            axes={v: tuple(map(self._rewrite, axes)) for v, axes in self.labels.axes.items()},
            bound={
                node: replace(b, names={n: self._rewrite(f) for n, f in b.names.items()})
                for node, b in self.labels.bound.items()
            },
            blocks=self._blocks(),
            groupings=[Grouping(c.places, c.atoms) for c in accepted],
            _resolved={},
        )

    def _rewrite(self, axis: Factors) -> Factors:
        """The axis with the new atoms; where positions stand alone, those of the first group."""
        spelt = self._spell(axis)
        meetings = [m for m in spelt.meetings if not m.candidate.refused]
        if spelt.label is None or not meetings:
            return axis
        key = _key(axis)
        if key not in self._made:
            label = spelt.label.copy()
            for m in meetings:
                order = np.argsort(m.candidate.places)
                found = np.searchsorted(m.candidate.places[order], label[m.row, m.column])
                label[m.row, m.column] = m.candidate.atoms[np.maximum(m.group, 0), order[found]]
            self._made[key] = (Factor(len(label), label),)
        return self._made[key]

    def _blocks(self) -> Mapping[ir.Value, Blocks]:
        blocks = {}
        for value, candidate in self.slots.items():
            if not candidate.refused:
                rows = _label(flatten(self.labels.atoms, self.labels.axes[value][0], 0))
                group = candidate.group_of(self.labels.atoms.spell(rows))
                blocks[value] = Blocks(group, candidate.atoms)
        return blocks


def _key(axis: Factors) -> AxisKey:
    """What tells axes apart, as long as their labels live."""
    return tuple((id(factor.label), factor.size) for factor in axis)


def _label(factor: Factor) -> Ids:
    assert factor.label is not None
    return factor.label


def _single(atoms: Atoms, axis: Factors) -> Ids | None:
    """The atoms of an axis that is one factor of more than one index, all different."""
    wide = [f for f in axis if f.size != 1]
    if len(wide) != 1 or wide[0].label is None:
        return None
    spelt = atoms.spell(wide[0].label)
    if spelt.shape[1] != 1 or len(np.unique(spelt)) < len(spelt):
        return None
    return spelt[:, 0]
