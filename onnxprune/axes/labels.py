"""What one pass over a graph finds out: the labels of every axis and the barriers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.bind import Binding
from onnxprune.axes.factors import Factors
from onnxprune.axes.rule import Rule
from onnxprune.graph.graph import Graph

__all__ = ["Barrier", "Blocks", "Bound", "Grouping", "Labels"]


@dataclass(frozen=True, slots=True)
class Barrier:
    """Why some atoms always stay.

    Attributes:
        kind: ``whole`` (an axis that no operator can lose: kernels, spatial axes), ``boundary``
            (graph inputs and outputs), ``operator`` (no rule, or the rule says so), ``conflict``
            (two axes that should be the same and cannot be reconciled).
        node: The name of the node, or of the graph's input or output.
        op: The operator, empty for the graph's boundary.
        reason: A sentence for the user.
    """

    kind: str
    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.op} '{self.node}'" if self.op else f"'{self.node}'"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A rule at work on a node: the factors of every name of its sentence."""

    rule: Rule
    binding: Binding
    names: Mapping[str, Factors]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A weight whose axis 0 runs over groups; axis 1 loses other indices in each, equally many.

    Attributes:
        group: (n,) the group of each index of axis 0.
        atoms: (groups, size) the atom of each index of axis 1 in each group; the label of axis 1
            is that of the first group.
    """

    group: Ids
    atoms: Ids


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Channels of which every group keeps equally many, whichever it likes.

    Attributes:
        places: (positions,) the atoms of the rectangle that they were before.
        atoms: (groups, positions) the atom of each channel.
    """

    places: Ids
    atoms: Ids


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labels of every axis of every value of a graph.

    Attributes:
        graph: The graph.
        atoms: What is known of the atoms.
        axes: Value -> the factors of each axis; values of unknown rank are missing.
        bound: Node -> its rule at work; nodes behind a barrier are missing.
        barriers: Every barrier; `Atoms.why` gives positions in this list.
        blocks: The weights of grouped operators whose groups choose by themselves.
        groupings: The channels of which equally many stay in each group.
    """

    graph: Graph
    atoms: Atoms
    axes: Mapping[ir.Value, tuple[Factors, ...]]
    bound: Mapping[ir.Node, Bound]
    barriers: list[Barrier] = field(default_factory=list)
    blocks: Mapping[ir.Value, Blocks] = field(default_factory=dict)
    groupings: list[Grouping] = field(default_factory=list)

    _resolved: dict[int, tuple[Ids, Ids]] = field(default_factory=dict)

    def resolved(self, label: Ids) -> Ids:
        """The label in normal form; remembered, since nothing more is learnt after the pass."""
        if id(label) not in self._resolved:  # the label is held too, so its id stays its own
            self._resolved[id(label)] = label, self.atoms.resolve(label)
        return self._resolved[id(label)][1]

    def living(self, value: ir.Value) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """Each axis of a value that may lose indices, and which of them."""
        for i, axis in enumerate(self.axes.get(value, ())):
            fixed: npt.NDArray[np.bool_] = np.ones(1, bool)
            for factor in axis:
                if factor.label is not None:
                    rows = self.resolved(factor.label).any(axis=1)
                else:
                    rows = np.zeros(1 if factor.dynamic else factor.size, bool)
                fixed = np.logical_and.outer(fixed, ~rows).reshape(-1)
            if not fixed.all():
                yield i, ~fixed
