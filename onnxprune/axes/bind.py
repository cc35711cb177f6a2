"""Binding a sentence to shapes: every axis gets its terms, every name its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxprune.axes.atoms import Ids
from onnxprune.axes.rule import Rule
from onnxprune.axes.sentence import ELLIPSIS, Axis, Operand, Sentence, Term
from onnxprune.errors import SentenceError
from onnxprune.graph.dims import Dim

__all__ = ["Binding", "bind"]

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """A sentence with ``...`` written out and the size of every name.

    Attributes:
        inputs: Axes for each operand that is present, None for one that is not.
        outputs: Axes for each result.
        sizes: Name -> size.
        indices: The arrays for ``c[i]``.
    """

    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]
    sizes: Mapping[str, int]
    indices: Mapping[str, np.ndarray] = field(default_factory=dict)

    def picked(self, term: Term, size: int) -> Ids:
        """The indices that a term such as ``c[i]`` or ``c[4:8]`` takes of a name of some size."""
        assert term.index is not None
        if ":" not in term.index:
            return np.asarray(self.indices[term.index], np.int64)
        bounds = [int(bound) if bound else None for bound in term.index.split(":")]
        return np.arange(size)[slice(*bounds)]

    def part_sizes(self, axis: Axis, total: int) -> list[int]:
        """The size of each part of an axis of `total` indices."""
        sizes = [self._product(part) for part in axis.parts]
        known = sum(size for size in sizes if size is not None)
        return [total - known if size is None else size for size in sizes]

    def term_sizes(self, part: tuple[Term, ...], total: int) -> list[int]:
        """The size of each term of a part of `total` indices."""
        sizes = [self._size(term) for term in part]
        known = math.prod(size for size in sizes if size is not None)
        return [total // known if size is None else size for size in sizes]

    def _product(self, part: tuple[Term, ...]) -> int | None:
        sizes = [self._size(term) for term in part]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def _size(self, term: Term) -> int | None:
        size = _size(term, self.sizes)
        return size if size is None or term.index is None else len(self.picked(term, size))


def bind(rule: Rule, inputs: Sequence[Shape | None], outputs: Sequence[Shape | None]) -> Binding:
    """Bind a rule's sentence to the shapes of a node.

    Args:
        rule: The rule; its sentence may have fewer operands and results than the node.
        inputs: The shape of each operand, None where the operand is absent.
        outputs: The shape of each result, None where it is absent or unknown.

    Returns:
        The binding.

    Raises:
        SentenceError: If the shapes contradict the sentence; the message quotes both.
    """
    sentence = rule.parsed
    if len(sentence.inputs) > len(inputs) and any(sentence.inputs[len(inputs) :]):
        inputs = [*inputs, *[None] * (len(sentence.inputs) - len(inputs))]
    taken = tuple(
        None if shape is None else _expand(sentence, operand, len(shape), f"operand {i}")
        for i, (operand, shape) in enumerate(zip(sentence.inputs, inputs, strict=False))
    )
    given = tuple(
        _expand(sentence, operand, None if shape is None else len(shape), f"result {i}")
        for i, (operand, shape) in enumerate(zip(sentence.outputs, outputs, strict=False))
    )
    pairs = [
        (axis, dim)
        for operands, shapes in ((taken, inputs), (given, outputs))
        for operand, shape in zip(operands, shapes, strict=False)
        if operand is not None and shape is not None
        for axis, dim in zip(operand, shape, strict=True)
    ]
    return Binding(taken, given, _solve(sentence, pairs, rule.sizes), rule.indices)


def _expand(sentence: Sentence, operand: Operand, rank: int | None, where: str) -> Operand:
    spots = [i for i, axis in enumerate(operand) if axis.term == ELLIPSIS]
    if rank is None:
        if spots:
            raise SentenceError(f"In '{sentence}', the rank of {where} is not known.")
        return operand
    count = rank - len(operand) + len(spots)
    if count < 0 or (count != 0 and not spots):
        raise SentenceError(
            f"The sentence '{sentence}' does not fit: {where} has {rank} axes, "
            f"'{' '.join(map(str, operand))}' speaks of {len(operand) - len(spots)}."
        )
    if not spots:
        return operand
    return (*operand[: spots[0]], *(operand[spots[0]],) * count, *operand[spots[0] + 1 :])


def _solve(
    sentence: Sentence, pairs: list[tuple[Axis, Dim]], given: Mapping[str, int]
) -> dict[str, int]:
    sizes: dict[str, int] = dict(given)
    for name, size in sizes.items():
        if size < 1:
            raise SentenceError(f"In '{sentence}', there cannot be {size} of '{name}'.")
    loose: set[str] = set()  # names whose size is a dynamic dimension's stand-in
    todo = sorted(pairs, key=lambda pair: pair[1].dynamic)
    while todo:
        later = []
        for axis, dim in todo:
            unknown = [t for t in axis.terms() if t.index is None and _size(t, sizes) is None]
            if len(unknown) > 1:
                later.append((axis, dim))
            elif not unknown:
                _verify(sentence, axis, dim, sizes, loose)
            elif unknown[0].is_name:
                sizes[unknown[0].text] = _remainder(sentence, axis, dim, sizes)
                if dim.dynamic:
                    loose.add(unknown[0].text)
        if len(later) == len(todo):
            raise SentenceError(
                f"In '{sentence}', the sizes within '{later[0][0]}' cannot be told apart."
            )
        todo = later
    return sizes


def _size(term: Term, sizes: Mapping[str, int]) -> int | None:
    return term.count or sizes.get(term.text)


def _product(part: tuple[Term, ...], sizes: Mapping[str, int]) -> int | None:
    found = [_size(term, sizes) for term in part]
    return None if None in found else math.prod(s for s in found if s is not None)


def _remainder(sentence: Sentence, axis: Axis, dim: Dim, sizes: Mapping[str, int]) -> int:
    """The size of the only unknown term of an axis."""
    part = next(part for part in axis.parts if _product(part, sizes) is None)
    known = math.prod(s for term in part if (s := _size(term, sizes)) is not None)
    whole = dim.size - sum(_product(other, sizes) or 0 for other in axis.parts)
    if whole <= 0 or whole % known:
        raise SentenceError(f"In '{sentence}', '{axis}' does not fit a dimension of {dim}.")
    return whole // known


def _verify(
    sentence: Sentence, axis: Axis, dim: Dim, sizes: Mapping[str, int], loose: set[str]
) -> None:
    if dim.dynamic or any(t.index is not None or t.text in loose for t in axis.terms()):
        return  # an unknown size may be anything; labels that meet it are frozen
    total = sum(_product(part, sizes) or 0 for part in axis.parts)
    if total != dim.size:
        raise SentenceError(
            f"In '{sentence}', '{axis}' is {total} by the other operands and {dim} by its own."
        )
