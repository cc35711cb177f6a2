"""One forward pass that labels every axis of a graph. It knows sentences, never operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.bind import Binding, bind
from onnxprune.axes.factors import Factor, Factors, deal, flatten, freeze, meet, size_of, take
from onnxprune.axes.labels import Barrier, Bound, Labels
from onnxprune.axes.rule import Barred, Rule
from onnxprune.axes.sentence import ELLIPSIS, Axis, Term
from onnxprune.errors import SentenceError
from onnxprune.graph.graph import Graph
from onnxprune.graph.nested import graphs_of

__all__ = ["propagate"]

_LONGEST = 1 << 24
"""Indices that an axis may have; a hostile file may claim any number."""

RuleOf = Callable[[ir.Node], Rule | Barred]


def propagate(graph: Graph, rule_of: RuleOf) -> Labels:
    """Label every axis of every value.

    Args:
        graph: The graph, with shapes.
        rule_of: Gives what is known of a node.

    Returns:
        The labels and barriers.
    """
    labeller = _Labeller(graph)
    for value in graph.model.graph.initializers.values():
        labeller.initializer(value)
    for value in graph.model.graph.inputs:
        reason = labeller.why("boundary", value.name, "", "a graph input keeps its shape")
        labeller.opaque(value, reason)
    for node in graph.model.graph:
        labeller.node(node, rule_of)
    for value in graph.model.graph.outputs:
        reason = labeller.why("boundary", value.name, "", "a graph output keeps its shape")
        labeller.keep_whole(value, reason)
    return Labels(graph, labeller.atoms, labeller.axes, labeller.bound, labeller.barriers)


@dataclass(slots=True)
class _Labeller:
    graph: Graph
    atoms: Atoms = field(default_factory=Atoms)
    axes: dict[ir.Value, tuple[Factors, ...]] = field(default_factory=dict)
    bound: dict[ir.Node, Bound] = field(default_factory=dict)
    barriers: list[Barrier] = field(
        default_factory=lambda: [Barrier("whole", "", "", "always kept")]
    )
    numbers: dict[Barrier, int] = field(default_factory=dict)

    def why(self, kind: str, node: str | None, op: str, reason: str) -> int:
        """The number of a barrier."""
        barrier = Barrier(kind, node or "", op, reason)
        if barrier not in self.numbers:
            self.numbers[barrier] = len(self.barriers)
            self.barriers.append(barrier)
        return self.numbers[barrier]

    def initializer(self, value: ir.Value) -> None:
        """Fresh atoms for a float tensor; other tensors describe positions and stay whole."""
        if value.dtype is None or not value.dtype.is_floating_point():
            self.opaque(value, self.why("whole", value.name, "", "a tensor of integers"))
            return
        shape = self.graph.shape(value)
        if shape is not None:
            self.axes[value] = tuple(
                (Factor(d.size, self.atoms.fresh(d.size).reshape(-1, 1) if d.size > 1 else None),)
                for d in shape
            )

    def opaque(self, value: ir.Value, reason: int) -> None:
        """All axes of the value stay whole."""
        shape = self.graph.shape(value)
        if shape is not None:
            self.axes[value] = tuple((Factor(d.size, None, reason, d.dynamic),) for d in shape)

    def keep_whole(self, value: ir.Value | None, reason: int) -> None:
        """Freeze every axis of a value."""
        for axis in self.axes.get(value, ()) if value is not None else ():
            freeze(self.atoms, axis, reason)

    def node(self, node: ir.Node, rule_of: RuleOf) -> None:
        """Learn from one node, and label its results."""
        rule = rule_of(node)
        if isinstance(rule, Rule):
            try:
                self._apply(node, rule)
                return
            except SentenceError as error:
                rule = Barred(str(error))
        reason = self.why("operator", node.name, node.op_type, rule.reason)
        for value in (*node.inputs, *_captured(node)):
            self.keep_whole(value, reason)
        for value in node.outputs:
            self.opaque(value, reason)

    def _apply(self, node: ir.Node, rule: Rule) -> None:
        inputs = [None if v is None else self.graph.shape(v) for v in node.inputs]
        outputs = [self.graph.shape(v) for v in node.outputs]
        self._check_reach(node, rule)
        binding = bind(rule, inputs, outputs)
        reader = _Reader(self, node, rule, binding)
        for value, operand in zip(node.inputs, binding.inputs, strict=False):
            if value is not None and operand is not None:
                for axis, term in zip(self.axes[value], operand, strict=True):
                    reader.read(term, axis)
        reader.keep_alike()
        for i, value in enumerate(node.inputs[len(binding.inputs) :], len(binding.inputs)):
            text = f"its input {i} always stays whole"
            self.keep_whole(value, self.why("operator", node.name, node.op_type, text))
        written = [
            tuple(reader.write(term, self._size(value, i)) for i, term in enumerate(operand))
            for value, operand in zip(node.outputs, binding.outputs, strict=False)
        ]
        if not reader.names.keys() >= set(rule.attributes.values()):
            raise SentenceError("an input that its attributes describe is absent")
        for value, axes in zip(node.outputs, written, strict=False):
            self._check_sizes(value, axes)
        for value, axes in zip(node.outputs, written, strict=False):
            self.axes[value] = axes
        for value in node.outputs[len(written) :]:
            self.opaque(value, reader.structural)
        self.bound[node] = Bound(rule, binding, reader.names)

    def _check_reach(self, node: ir.Node, rule: Rule) -> None:
        """Ranks must be known, sizes sensible, and the sentence must speak of all that is used."""
        reached = node.inputs[: len(rule.parsed.inputs)]
        for value in (*reached, *node.outputs):
            for dim in (self.graph.shape(value) or ()) if value is not None else ():
                if dim.size == 0:
                    raise SentenceError("one of its tensors is empty")
                if dim.size > _LONGEST and not dim.dynamic:
                    raise SentenceError("one of its axes is too long")
        for i, value in enumerate(reached):
            if value is not None and value not in self.axes:
                raise SentenceError(f"the rank of its input {i} is not known")
        for i, output in enumerate(node.outputs):
            if not (output.uses() or output.is_graph_output()):
                continue
            if i >= len(rule.parsed.outputs):
                raise SentenceError(f"nothing is known of its result {i}")
            if self.graph.shape(output) is None:
                raise SentenceError(f"the rank of its result {i} is not known")

    def _size(self, value: ir.Value, axis: int) -> tuple[int, bool]:
        shape = self.graph.shape(value)
        return (1, True) if shape is None else (shape[axis].size, shape[axis].dynamic)

    def _check_sizes(self, value: ir.Value, axes: tuple[Factors, ...]) -> None:
        """The rule and shape inference must agree on every static size."""
        for i, (axis, dim) in enumerate(zip(axes, self.graph.shape(value) or (), strict=False)):
            if not dim.dynamic and size_of(axis) != dim.size and not any(f.dynamic for f in axis):
                raise SentenceError(
                    f"axis {i} of its result '{value.name}' is {dim} by its shape "
                    f"and {size_of(axis)} by its rule"
                )


@dataclass(slots=True)
class _Reader:
    """Reads the axes of one node's operands into names, writes its results from them."""

    labeller: _Labeller
    node: ir.Node
    rule: Rule
    binding: Binding
    names: dict[str, Factors] = field(default_factory=dict)

    def _why(self, kind: str, text: str) -> int:
        return self.labeller.why(kind, self.node.name, self.node.op_type, text)

    @property
    def structural(self) -> int:
        return self._why("whole", "a kernel or spatial axis always stays whole")

    @property
    def conflict(self) -> int:
        return self._why("conflict", "its operands divide this axis in ways that do not fit")

    def read(self, axis: Axis, factors: Factors) -> None:
        """Let an operand's axis meet its place in the sentence."""
        atoms = self.labeller.atoms
        if len(axis.parts) == 1:
            self._read_part(axis.parts[0], factors)
            return
        flat = flatten(atoms, factors, self.conflict)
        start = 0
        for part, size in zip(axis.parts, self.binding.part_sizes(axis, flat.size), strict=True):
            if not part[0].is_alike:
                self._read_part(part, (self._take(flat, np.arange(start, start + size)),))
            start += size

    def _read_part(self, part: tuple[Term, ...], factors: Factors) -> None:
        if len(part) == 1:
            self._read_term(part[0], factors)
            return
        sizes = self.binding.term_sizes(part, size_of(factors))
        dealt = deal(self.labeller.atoms, factors, sizes, self.conflict)
        for term, piece in zip(part, dealt, strict=True):
            self._read_term(term, piece)

    def _read_term(self, term: Term, factors: Factors) -> None:
        atoms = self.labeller.atoms
        if term.is_name:
            known = self.names.get(term.text)
            met = factors if known is None else meet(atoms, known, factors, self.conflict)
            self.names[term.text] = met
        elif term == ELLIPSIS:
            freeze(atoms, factors, self.structural)
        elif not term.is_alike:
            freeze(atoms, factors, self._why("operator", self.rule.reason))

    def keep_alike(self) -> None:
        """Entries that are all alike stay where they are summed: nothing says which are gone."""
        sentence = self.rule.parsed
        for name in sentence.contracted | sentence.statistic:
            alike = tuple(factor for factor in self.names.get(name, ()) if factor.alike)
            if alike:
                why = self._why("operator", "its result depends on how many copies it is given")
                freeze(self.labeller.atoms, alike, why)

    def write(self, axis: Axis, size: tuple[int, bool]) -> Factors:
        """The factors of a result's axis; `size` is (its size, whether that is dynamic)."""
        if len(axis.parts) == 1:
            return self._write_part(axis.parts[0], size)
        sizes = self.binding.part_sizes(axis, size[0])
        parts = [
            flatten(self.labeller.atoms, self._write_part(part, (n, size[1])), self.conflict)
            for part, n in zip(axis.parts, sizes, strict=True)
        ]
        pairs = zip(axis.parts, parts, strict=True)
        given = [f for part, f in pairs if not part[0].is_alike] or parts
        if all(f.label is None for f in given):  # what is added to a whole axis stays with it
            return (Factor(size[0], None, given[0].why, size[1]),)
        if any(f.dynamic for f in parts):
            why = self._why("conflict", "a part of this axis has a size known only at run time")
            freeze(self.labeller.atoms, tuple(parts), why)
            return (Factor(size[0], None, why, size[1]),)
        label = self._stack(parts)
        return (Factor(sum(f.size for f in parts), label, alike=any(f.alike for f in parts)),)

    def _stack(self, parts: Iterable[Factor]) -> Ids:
        """The label of a direct sum: rows below each other, opaque parts as one frozen atom."""
        labels = []
        for factor in parts:
            label = factor.label
            if label is None:
                atom = self.labeller.atoms.fresh(1).reshape(1, 1)
                self.labeller.atoms.freeze(atom, factor.why or self.conflict)
                label = np.repeat(atom, factor.size, axis=0)
            labels.append(label)
        width = max(label.shape[1] for label in labels)
        return np.concatenate([np.pad(lab, ((0, 0), (0, width - lab.shape[1]))) for lab in labels])

    def _write_part(self, part: tuple[Term, ...], size: tuple[int, bool]) -> Factors:
        sizes = self.binding.term_sizes(part, size[0])
        return tuple(
            factor
            for term, n in zip(part, sizes, strict=True)
            for factor in self._write_term(term, (n, size[1]))
        )

    def _write_term(self, term: Term, size: tuple[int, bool]) -> Factors:
        atoms = self.labeller.atoms
        n, dynamic = size[0], size[1] and term.count is None
        if term.is_alike and not dynamic:
            tracked = n > 1 or term.count is not None
            return (Factor(n, atoms.fresh(n).reshape(-1, 1) if tracked else None, alike=True),)
        if not term.is_name:
            text = "it has a single index here" if n == 1 else self.rule.reason
            why = self.structural if term == ELLIPSIS else self._why("operator", text)
            return (Factor(n, None, why, dynamic),)
        if term.text not in self.names:
            raise SentenceError(
                f"the input that '{term.text}' of '{self.rule.sentence}' is in is absent"
            )
        factors = self.names[term.text]
        if term.index is None:
            return factors
        flat = flatten(self.labeller.atoms, factors, self.conflict)
        if flat.dynamic:
            freeze(self.labeller.atoms, (flat,), self.conflict)
            return (Factor(size[0], None, self.conflict, size[1]),)
        return (self._take(flat, self.binding.picked(term, flat.size)),)

    def _take(self, flat: Factor, indices: Ids) -> Factor:
        """Some indices of a factor; one that is taken alone must stay, or nothing would be left."""
        part = take(flat, indices)
        if len(indices) == 1:
            why = self._why("operator", "a single index of this axis is taken")
            freeze(self.labeller.atoms, (part,), why)
            return Factor(1, None, why)
        return part


def _captured(node: ir.Node) -> set[ir.Value]:
    """Values of outer graphs that the node's subgraphs use."""
    used: set[ir.Value] = set()
    graphs = [g for attribute in node.attributes.values() for g in graphs_of(attribute)]
    for graph in graphs:
        used.update(graph.outputs)
        for inner in graph:
            used.update(v for v in inner.inputs if v is not None)
            used.update(_captured(inner))
    return {v for v in used if v.graph not in graphs}
