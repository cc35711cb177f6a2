"""From labels to units: atoms that leave the same footprint in the same tensors are one unit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.factors import Factors
from onnxprune.axes.grouping import relax
from onnxprune.axes.labels import Barrier, Bound, Labels
from onnxprune.axes.propagate import propagate
from onnxprune.axes.sentence import Axis
from onnxprune.errors import ChoiceError
from onnxprune.graph.graph import Graph
from onnxprune.ops import operator_name, rules_for
from onnxprune.units.channel import Channel
from onnxprune.units.found import Found
from onnxprune.units.naming import module_name
from onnxprune.units.places import Places, blocks_of, columns, flat, hidden
from onnxprune.units.roles import Roles
from onnxprune.units.unit import UNIT_KINDS, MutableChannelUnit
from onnxprune.units.units import Units

__all__ = ["find_units"]

PRODUCES, CONSUMES, PASSES = 0, 1, 2

_Said = tuple[str, str, int, bytes]


def find_units(
    graph: Graph,
    kind: str | type[MutableChannelUnit] = "l1",
    allow_io: Sequence[str] = (),
    **init_args: Any,
) -> Units:
    """Find the units of a graph.

    Args:
        graph: The graph.
        kind: The kind of unit, which decides how a count becomes a choice of channels: its name
            or its class.
        allow_io: Names or patterns (``*``, ``?``) of inputs and outputs whose static axes may lose
            indices as well.
        init_args: What every unit is made with, such as ``divisor=8``.

    Returns:
        All units in topological order of their first producer, those that must stay whole too.

    Raises:
        OnnxPruneError: If there is no such kind, or it does not take these arguments.
        ChoiceError: If the graph has no such input or output.
    """
    make = UNIT_KINDS.get(kind) if isinstance(kind, str) else kind
    labels, drafts = _drafts(propagate(graph, rules_for(graph), _border(graph, allow_io)))
    taken: dict[str, int] = {}
    units = []
    for draft in sorted(drafts, key=lambda draft: draft.order):
        first = (draft.outputs or draft.inputs)[0]
        name = f"{first.name}_{first.index}_{len(draft.atoms)}"
        taken[name] = taken.get(name, 0) + 1
        unique = name if taken[name] == 1 else f"{name}#{taken[name]}"
        units.append(make.of(draft.found(unique, labels), **init_args))
    return Units(labels, units)


def _border(graph: Graph, patterns: Sequence[str]) -> set[str]:
    """The inputs and outputs that match any of some patterns."""
    known = [str(value.name) for value in (*graph.inputs, *graph.outputs)]
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in known if name == pattern or fnmatchcase(name, pattern)}
        if not matching:
            near = difflib.get_close_matches(pattern, known, 3, 0.3) or known[:3]
            raise ChoiceError(
                f"{graph.source}: it has no input or output '{pattern}'; near are: "
                f"{', '.join(near)}."
            )
        found |= matching
    return found


def _drafts(labels: Labels) -> tuple[Labels, list[_Draft]]:
    """The units in the making, with groups that choose by themselves where that is one unit."""
    refused: set[int] = set()
    while True:
        relaxed = relax(labels, refused)
        drafts = _Footprints(relaxed).drafts()
        units = {tuple(draft.atoms.tolist()): draft for draft in drafts}
        torn = False
        for grouping in relaxed.groupings:
            draft = units.get(tuple(grouping.atoms.reshape(-1).tolist()))
            if draft is None:
                refused.update(grouping.places.tolist())
                torn = True
            else:
                draft.groups = np.repeat(np.arange(len(grouping.atoms)), len(grouping.places))
        if not torn:
            return relaxed, drafts


@dataclass(slots=True)
class _Draft:
    """A unit in the making: its atoms in any order, its channels in topological order."""

    atoms: Ids
    outputs: list[Channel] = field(default_factory=list)
    inputs: list[Channel] = field(default_factory=list)
    known: tuple[set[_Said], set[_Said]] = field(default_factory=lambda: (set(), set()))
    order: tuple[int, ...] = ()
    groups: Ids | None = None
    role: str = "channel"

    def add(self, channel: Channel, role: int, place: int) -> None:
        """Note a channel; tensors of one module or node that say the same count once."""
        said = channel.positions.shape[1], channel.positions.tobytes()
        keys = {("module", channel.name, *said), ("node", channel.node, *said)}
        produced, consumed = (not known.isdisjoint(keys) for known in self.known)
        if role == PASSES and (produced or consumed):
            return
        if role != CONSUMES and not produced:
            if not self.outputs:
                self.order = (place, 1, channel.index[0])
            self.outputs.append(channel)
            self.known[0].update(keys)
        if role != PRODUCES and not consumed:
            if not self.inputs and not self.outputs:
                self.order = (place, 0, channel.index[0])
            self.inputs.append(replace(channel, is_output_channel=False))
            self.known[1].update(keys)

    def found(self, name: str, labels: Labels) -> Found:
        """The unit, its channels in the order of its first tensor."""
        order = np.argsort((self.outputs or self.inputs)[0].positions[:, 0], kind="stable")
        outputs, inputs = (
            [replace(c, positions=c.positions[order]) for c in side]
            for side in (self.outputs, self.inputs)
        )
        why = int(labels.atoms.why(self.atoms[:1])[0])
        barrier: Barrier | None = labels.barriers[why] if why >= 0 else None
        groups = None if self.groups is None else self.groups[order]
        return Found(name, self.atoms[order], outputs, inputs, barrier, groups, self.role, labels)


class _Footprints:
    """Groups atoms by where they stand in the weights."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.atoms = labels.atoms
        self._hidden = hidden(labels)
        self._origin: dict[ir.Value, ir.Value] = {}  # computed from weights alone -> that weight

    def drafts(self) -> list[_Draft]:
        """The units with their channels."""
        prints = self._prints()
        used = np.flatnonzero(prints)
        if not len(used):
            return []
        _, group = np.unique(prints[used], return_inverse=True)
        by_group = used[np.argsort(group, kind="stable")]
        ends = np.cumsum(np.bincount(group))
        drafts = [_Draft(atoms) for atoms in np.split(by_group, ends[:-1])]
        self._places = Places(self.labels, [draft.atoms for draft in drafts])
        roles = Roles(self.labels)
        for place, (node, bound) in enumerate(self.labels.bound.items()):
            for unit, channel, role in self._channels(node, bound):
                drafts[unit].add(channel, role, place)
            roles.read(node, bound, self._is_weight)
        for draft in drafts:
            draft.role = roles.of(draft.atoms)
        return [draft for draft in drafts if draft.outputs or draft.inputs]

    def _prints(self) -> npt.NDArray[np.uint64]:
        """For each representative, a hash of the (tensor, axis, column) it stands in, how often."""
        random = np.random.default_rng(0)
        prints = np.zeros(len(self.atoms), np.uint64)
        for value in self.labels.graph.initializers.values():
            for i, axis in enumerate(self.labels.axes.get(value, ())):
                blocks = blocks_of(self.labels, value, i)
                labels = [f.label for f in axis] if blocks is None else [flat(blocks)]
                for label in labels:
                    for column in columns(self.atoms, self._hidden, label):
                        key = random.integers(1, 2**63, dtype=np.uint64)
                        atoms, times = np.unique(column[column > 0], return_counts=True)
                        prints[atoms] += key * times.astype(np.uint64)
        used = np.flatnonzero(prints)
        keys = random.integers(1, 2**63, len(self._hidden), dtype=np.uint64)
        keys[-1] = 0  # of the living
        prints[used] += keys[self.atoms.why(used)]
        return prints

    def _channels(self, node: ir.Node, bound: Bound) -> Iterator[tuple[int, Channel, int]]:
        """The footprints of every unit in the weights that a node reads."""
        weights = {v for v in node.inputs if v is not None and self._is_weight(v)}
        if weights and all(v is None or v in weights for v in node.inputs):
            origin = next(self._origin.get(v, v) for v in node.inputs if v is not None)
            self._origin.update(dict.fromkeys(node.outputs, origin))
            return
        moving = {
            term.text
            for value, operand in zip(node.inputs, bound.binding.inputs, strict=False)
            if value is not None and value not in weights
            for axis in operand or ()
            for term in axis.terms()
        }
        for value, operand in zip(node.inputs, bound.binding.inputs, strict=False):
            if value is None or operand is None or value not in weights:
                continue
            name = module_name(self._origin.get(value, value), node)
            operator = operator_name(node)
            for unit, atom, place in self._places.of(value):
                role = self._role(atom, operand[place.axis], bound, moving)
                made = Channel(
                    *(name, node.name or "", operator, value, place.axis, place.positions),
                    is_output_channel=True,
                    blocks=place.blocks,
                )
                yield unit, made, role

    def _is_weight(self, value: ir.Value) -> bool:
        return value.const_value is not None or value in self._origin

    def _role(self, atom: int, axis: Axis, bound: Bound, moving: set[str]) -> int:
        """What the node does with the atom's channel on this axis of its weight."""
        names = [term.text for term in axis.terms() if term.is_name]
        if len(names) > 1:
            names = [n for n in names if self._holds(bound.names[n], atom)] or names
        if not names or names[0] not in moving:
            return PRODUCES
        return CONSUMES if names[0] in bound.rule.parsed.contracted else PASSES

    def _holds(self, factors: Factors, atom: int) -> bool:
        return any((columns(self.atoms, self._hidden, f.label) == atom).any() for f in factors)
