"""One forward pass that labels every axis of a graph. It knows sentences, never operators."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import onnx_ir as ir

from onnxprune.axes.atoms import Atoms
from onnxprune.axes.bind import bind
from onnxprune.axes.factors import Factor, Factors, freeze, meet, size_of
from onnxprune.axes.flow import Flow, Link
from onnxprune.axes.labels import Barrier, Bound, Labels
from onnxprune.axes.reader import Reader
from onnxprune.axes.rule import Barred, Rule
from onnxprune.errors import SentenceError
from onnxprune.graph.dtypes import may_shrink
from onnxprune.graph.graph import Graph
from onnxprune.graph.nested import graphs_of

__all__ = ["propagate"]

_LONGEST = 1 << 24
"""Indices that an axis may have; a hostile file may claim any number."""

RuleOf = Callable[[ir.Node], Rule | Flow | Barred]


def propagate(graph: Graph, rule_of: RuleOf, free: Collection[str] = ()) -> Labels:
    """Label every axis of every value.

    Args:
        graph: The graph, with shapes.
        rule_of: Gives what is known of a node.
        free: Names of inputs and outputs that may lose indices.

    Returns:
        The labels and barriers.
    """
    labeller = _Labeller(graph)
    for value in graph.model.graph.initializers.values():
        labeller.initializer(value)
    for value in graph.model.graph.inputs:
        if value.name in free:
            labeller.fresh(value)
            continue
        reason = labeller.why("boundary", value.name, "", "a graph input keeps its shape")
        labeller.opaque(value, reason)
    for node in graph.model.graph:
        labeller.node(node, rule_of)
    for value in graph.model.graph.outputs:
        if value.name in free:
            labeller.keep_dynamic(value)
            continue
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

    def _blame(self, node: ir.Node, kind: str, reason: str) -> int:
        """The number of a barrier at a node."""
        return self.why(kind, node.name, node.op_type, reason)

    def initializer(self, value: ir.Value) -> None:
        """Fresh atoms for numbers; what describes shapes, positions or masks stays whole."""
        if not may_shrink(value.dtype):
            reason = "a tensor of 64-bit integers, of booleans or of text"
            self.opaque(value, self.why("whole", value.name, "", reason))
            return
        self.fresh(value)

    def fresh(self, value: ir.Value) -> None:
        """Fresh atoms for every static axis."""
        made: list[Factors] = []
        for dim in self.graph.shape(value) or ():
            if dim.dynamic:
                why = self.why("boundary", value.name, "", "a size known only at run time")
                made.append((Factor(dim.size, None, why, dynamic=True),))
            else:
                label = self.atoms.fresh(dim.size).reshape(-1, 1) if dim.size > 1 else None
                made.append((Factor(dim.size, label),))
        if self.graph.shape(value) is not None:
            self.axes[value] = tuple(made)

    def opaque(self, value: ir.Value, reason: int) -> None:
        """All axes of the value stay whole."""
        shape = self.graph.shape(value)
        if shape is not None:
            self.axes[value] = tuple((Factor(d.size, None, reason, d.dynamic),) for d in shape)

    def keep_whole(self, value: ir.Value | None, reason: int) -> None:
        """Freeze every axis of a value."""
        for axis in self.axes.get(value, ()) if value is not None else ():
            freeze(self.atoms, axis, reason)

    def keep_dynamic(self, value: ir.Value) -> None:
        """Freeze the axes of a value of which a part is known only at run time."""
        why = self.why("boundary", value.name, "", "a part of this axis has a dynamic size")
        for axis in self.axes.get(value, ()):
            if any(factor.dynamic for factor in axis):
                freeze(self.atoms, axis, why)

    def node(self, node: ir.Node, rule_of: RuleOf) -> None:
        """Learn from one node, and label its results."""
        rule = rule_of(node)
        if isinstance(rule, Flow):
            self._follow(node, rule, rule_of)
            return
        if isinstance(rule, Rule):
            try:
                self._apply(node, rule)
                return
            except SentenceError as error:
                rule = Barred(str(error))
        reason = self._blame(node, "operator", rule.reason)
        for value in (*node.inputs, *_captured(node)):
            self.keep_whole(value, reason)
        for value in node.outputs:
            self.opaque(value, reason)

    def _follow(self, node: ir.Node, flow: Flow, rule_of: RuleOf) -> None:
        """Label the graphs inside a node: any branch may be taken, any number of turns made."""
        reason = self._blame(node, "operator", flow.reason)
        told = self._blame(node, "operator", "it tells which graph runs, or whether")
        for value in set(node.inputs) - {link.outer for link in flow.given}:
            self.keep_whole(value, told)
        for link in flow.given:
            axes = self._without_axis(link, reason)
            if axes is not None:
                self.axes[link.inner] = axes
        for graph in flow.graphs:
            for value in graph.inputs:
                if value not in self.axes:
                    self.opaque(value, told)
            for value in graph.initializers.values():
                self.opaque(value, self._blame(node, "operator", "its graph hands out a constant"))
            for inner in graph:
                self.node(inner, rule_of)
        for link in flow.carried:
            self._tie(node, link.outer, self.axes.get(link.inner))
        for link in flow.results:
            axes = self.axes.get(link.inner)
            if axes is not None and link.axis is not None:
                axes = self._with_axis(link, axes, reason)
            self._tie(node, link.outer, axes)
        for value in node.outputs:
            if value not in self.axes:
                self.opaque(value, told)

    def _without_axis(self, link: Link, reason: int) -> tuple[Factors, ...] | None:
        """The axes of one index of an operand, if its rank is known."""
        axes, place = self.axes.get(link.outer), link.axis
        if axes is None or place is None:
            return axes
        if not -len(axes) <= place < len(axes):
            self.keep_whole(link.outer, reason)
            return None
        freeze(self.atoms, axes[place], reason)
        return tuple(axis for i, axis in enumerate(axes) if i != place % len(axes))

    def _with_axis(
        self, link: Link, axes: tuple[Factors, ...], reason: int
    ) -> tuple[Factors, ...] | None:
        """The axes of a result that collects what each turn gives along an axis of its own."""
        shape = self.graph.shape(link.outer)
        if shape is None or link.axis is None or len(shape) != len(axes) + 1:
            for axis in axes:
                freeze(self.atoms, axis, reason)
            return None
        place = link.axis % len(shape)
        made = (Factor(shape[place].size, None, reason, shape[place].dynamic),)
        return (*axes[:place], made, *axes[place:])

    def _tie(self, node: ir.Node, value: ir.Value, axes: tuple[Factors, ...] | None) -> None:
        """The axes are those of the value as well; where they cannot be, both stay whole."""
        why = self._blame(node, "conflict", "what its graphs give does not agree")
        known, shape = self.axes.get(value, axes), self.graph.shape(value)
        if (
            known is None
            or axes is None
            or shape is None
            or not len(known) == len(axes) == len(shape)
        ):
            for axis in (*(known or ()), *(axes or ())):
                freeze(self.atoms, axis, why)
            self.opaque(value, why)
            return
        tied = []
        for first, second, dim in zip(known, axes, shape, strict=True):
            sizes = {size_of(axis) for axis in (first, second)}
            if len(sizes) == 1 and (dim.dynamic or sizes == {dim.size}):
                tied.append(meet(self.atoms, first, second, why))
                continue
            freeze(self.atoms, (*first, *second), why)
            tied.append((Factor(dim.size, None, why, dim.dynamic),))
        self.axes[value] = tuple(tied)

    def _apply(self, node: ir.Node, rule: Rule) -> None:
        inputs = [None if v is None else self.graph.shape(v) for v in node.inputs]
        outputs = [self.graph.shape(v) for v in node.outputs]
        self._check_reach(node, rule)
        binding = bind(rule, inputs, outputs)
        reader = Reader(self.atoms, partial(self._blame, node), rule, binding)
        for value, operand in zip(node.inputs, binding.inputs, strict=False):
            if value is not None and operand is not None:
                for axis, term in zip(self.axes[value], operand, strict=True):
                    reader.read(term, axis)
        reader.keep_alike()
        for i, value in enumerate(node.inputs[len(binding.inputs) :], len(binding.inputs)):
            text = f"its input {i} always stays whole"
            self.keep_whole(value, self._blame(node, "operator", text))
        written = [
            tuple(reader.write(term, self._size(value, i)) for i, term in enumerate(operand))
            for value, operand in zip(node.outputs, binding.outputs, strict=False)
        ]
        described = {t for product in rule.attributes.values() for t in product.split()}
        if not all(name in reader.names or name.isdecimal() for name in described):
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
