"""The axes of one node: its operands read into the names of its sentence, its results written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.bind import Binding
from onnxprune.axes.factors import Factor, Factors, deal, flatten, freeze, meet, size_of, take
from onnxprune.axes.rule import Rule
from onnxprune.axes.sentence import ELLIPSIS, Axis, Term
from onnxprune.errors import SentenceError

__all__ = ["Reader"]


@dataclass(slots=True)
class Reader:
    """Reads the axes of one node's operands into names, writes its results from them.

    Attributes:
        atoms: What is known of the atoms; reading adds to it.
        why: (kind, reason) -> the number of a barrier at the node.
        rule: The node's rule.
        binding: Its sentence, bound to the node's shapes.
        names: The factors of each name that has been read.
    """

    atoms: Atoms
    why: Callable[[str, str], int]
    rule: Rule
    binding: Binding
    names: dict[str, Factors] = field(default_factory=dict)

    @property
    def structural(self) -> int:
        """The number of the barrier of kernels and spatial axes."""
        return self.why("whole", "a kernel or spatial axis always stays whole")

    @property
    def conflict(self) -> int:
        """The number of the barrier of axes that cannot be reconciled."""
        return self.why("conflict", "its operands divide this axis in ways that do not fit")

    def read(self, axis: Axis, factors: Factors) -> None:
        """Let an operand's axis meet its place in the sentence."""
        atoms = self.atoms
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
        dealt = deal(self.atoms, factors, sizes, self.conflict)
        for term, piece in zip(part, dealt, strict=True):
            self._read_term(term, piece)

    def _read_term(self, term: Term, factors: Factors) -> None:
        atoms = self.atoms
        if term.is_name:
            known = self.names.get(term.text)
            met = factors if known is None else meet(atoms, known, factors, self.conflict)
            self.names[term.text] = met
        elif term == ELLIPSIS:
            freeze(atoms, factors, self.structural)
        elif not term.is_alike:
            freeze(atoms, factors, self.why("operator", self.rule.reason))

    def keep_alike(self) -> None:
        """Entries that are all alike stay where they are summed: nothing says which are gone."""
        sentence = self.rule.parsed
        for name in sentence.contracted | sentence.statistic:
            alike = tuple(factor for factor in self.names.get(name, ()) if factor.alike)
            if alike:
                why = self.why("operator", "its result depends on how many copies it is given")
                freeze(self.atoms, alike, why)

    def write(self, axis: Axis, size: tuple[int, bool]) -> Factors:
        """The factors of a result's axis; `size` is (its size, whether that is dynamic)."""
        if len(axis.parts) == 1:
            return self._write_part(axis.parts[0], size)
        sizes = self.binding.part_sizes(axis, size[0])
        parts = [
            flatten(self.atoms, self._write_part(part, (n, size[1])), self.conflict)
            for part, n in zip(axis.parts, sizes, strict=True)
        ]
        pairs = zip(axis.parts, parts, strict=True)
        given = [f for part, f in pairs if not part[0].is_alike] or parts
        if all(f.label is None for f in given):  # what is added to a whole axis stays with it
            return (Factor(size[0], None, given[0].why, size[1]),)
        if any(f.dynamic for f in parts):
            why = self.why("conflict", "a part of this axis has a size known only at run time")
            freeze(self.atoms, tuple(parts), why)
            return (Factor(size[0], None, why, size[1]),)
        label = self._stack(parts)
        return (Factor(sum(f.size for f in parts), label, alike=any(f.alike for f in parts)),)

    def _stack(self, parts: Iterable[Factor]) -> Ids:
        """The label of a direct sum: rows below each other, opaque parts as one frozen atom."""
        labels = []
        for factor in parts:
            label = factor.label
            if label is None:
                atom = self.atoms.fresh(1).reshape(1, 1)
                alone = self.why("operator", "a part of this axis has a single index")
                self.atoms.freeze(atom, factor.why or alone)
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
        atoms = self.atoms
        n, dynamic = size[0], size[1] and term.count is None
        if term.is_alike and not dynamic:
            tracked = n > 1 or term.count is not None
            return (Factor(n, atoms.fresh(n).reshape(-1, 1) if tracked else None, alike=True),)
        if not term.is_name:
            text = "it has a single index here" if n == 1 else self.rule.reason
            why = self.structural if term == ELLIPSIS else self.why("operator", text)
            return (Factor(n, None, why, dynamic),)
        if term.text not in self.names:
            raise SentenceError(
                f"the input that '{term.text}' of '{self.rule.sentence}' is in is absent"
            )
        factors = self.names[term.text]
        if term.index is None:
            return factors
        flat = flatten(self.atoms, factors, self.conflict)
        if flat.dynamic:
            freeze(self.atoms, (flat,), self.conflict)
            return (Factor(size[0], None, self.conflict, size[1]),)
        return (self._take(flat, self.binding.picked(term, flat.size)),)

    def _take(self, flat: Factor, indices: Ids) -> Factor:
        """Some indices of a factor; one that is taken alone must stay, or nothing would be left."""
        part = take(flat, indices)
        if len(indices) == 1:
            why = self.why("operator", "a single index of this axis is taken")
            freeze(self.atoms, (part,), why)
            return Factor(1, None, why)
        return part
