"""What the channels of a unit are: heads, the size of a head, groups, ..., or just channels.

Some rules say it of their names (`Rule.roles`). Where two activations are multiplied, it follows
from the sentence: what runs along with the product is a head, what is summed, or given by one of
them within the heads, is the size of a head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.labels import Bound, Labels
from onnxprune.axes.rule import ROLES

__all__ = ["Roles"]


class Roles:
    """Collects what is said of the atoms of a graph.

    Args:
        labels: The labels of the graph.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._said = np.zeros(len(labels.atoms), np.int8)

    def read(self, node: ir.Node, bound: Bound, is_weight: Callable[[ir.Value], bool]) -> None:
        """Learn from one node.

        Args:
            node: The node.
            bound: Its rule at work.
            is_weight: Whether a value is a weight, or computed from weights alone.
        """
        moving = [
            {term.text for axis in operand for term in axis.terms() if term.is_name}
            for value, operand in zip(node.inputs, bound.binding.inputs, strict=False)
            if value is not None and operand is not None and not is_weight(value)
        ]
        said = {**dict(self._multiplied(bound, moving)), **bound.rule.roles}
        for name, role in said.items():
            np.maximum.at(self._said, self._atoms(bound, name), ROLES.index(role))

    def of(self, atoms: Ids) -> str:
        """The role of some atoms, the one that tells most."""
        return ROLES[int(self._said[atoms].max(initial=0))]

    def _multiplied(self, bound: Bound, operands: Sequence[Set[str]]) -> Iterator[tuple[str, str]]:
        """The roles in a product of activations, from the names of its sentence."""
        counts = Counter(name for names in operands for name in names)
        given = {t.text for axis in bound.binding.outputs[0] for t in axis.terms()}
        summed = {name for name, count in counts.items() if count > 1 and name not in given}
        if not summed:
            return
        heads = {
            name
            for name, count in counts.items()
            if count > 1 and name in given and len(self._atoms(bound, name))
        }
        for name in counts:
            if name in heads:
                yield name, "head"
            elif name in summed or heads:
                yield name, "head-size"

    def _atoms(self, bound: Bound, name: str) -> Ids:
        """The living atoms of a name."""
        found = [
            self._labels.resolved(factor.label).reshape(-1)
            for factor in bound.names.get(name, ())
            if factor.label is not None
        ]
        atoms = np.concatenate(found) if found else np.zeros(0, np.int64)
        return np.unique(atoms[atoms > 0])
