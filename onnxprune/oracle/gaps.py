"""What rules leave out: axes that are kept whole although they could be permuted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from onnxprune.axes import Ids
from onnxprune.axes.bind import Binding
from onnxprune.oracle.cases import Case
from onnxprune.oracle.evaluate import Array, same

__all__ = ["Gap", "gaps"]

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Axes of operands that could be permuted together and are kept whole.

    Attributes:
        operator: The operator.
        places: (operand, axis) of each.
        case: The test case.
        barred: Whether the rule bars the whole node.
    """

    operator: str
    places: tuple[Place, ...]
    case: str
    barred: bool

    def __str__(self) -> str:
        where = " with ".join(f"operand {i} axis {axis}" for i, axis in self.places)
        return f"{self.operator}: {where} ({self.case})"


def gaps(case: Case, binding: Binding | None, random: np.random.Generator) -> Iterator[Gap]:
    """Seek axes of floating point operands that permute though the rule keeps them whole.

    One axis alone is tried first, then two of one size in different operands.

    Args:
        case: The case.
        binding: The sentence, bound to the shapes of the case; None if there is none.
        random: Draws permutations.
    """
    if not any(array is not None and array.size for array in case.outputs):
        return
    whole = [place for place in _places(case) if not _claimed(binding, *place)]
    alone = [place for place in whole if _permutes(case, [place], random)]
    for place in alone:
        yield Gap(case.operator, (place,), case.name, binding is None)
    for pair in combinations([place for place in whole if place not in alone], 2):
        alike = pair[0][0] != pair[1][0] and _size(case, pair[0]) == _size(case, pair[1])
        if alike and _permutes(case, pair, random):
            yield Gap(case.operator, pair, case.name, binding is None)


def _places(case: Case) -> Iterator[Place]:
    """Every axis of three or more indices of an operand of floating point numbers."""
    for i, array in enumerate(case.inputs):
        if array is not None and array.dtype.kind == "f" and array.size:
            yield from ((i, axis) for axis, size in enumerate(array.shape) if size > 2)


def _size(case: Case, place: Place) -> int:
    array = case.inputs[place[0]]
    assert array is not None
    return int(array.shape[place[1]])


def _claimed(binding: Binding | None, i: int, axis: int) -> bool:
    operand = binding.inputs[i] if binding is not None and i < len(binding.inputs) else None
    return operand is not None and any(t.is_name or t.is_alike for t in operand[axis].terms())


def _permutes(case: Case, places: Sequence[Place], random: np.random.Generator) -> bool:
    """Whether permuting some axes alike permutes every result, or leaves it as it is."""
    size = _size(case, places[0])
    orders = (np.roll(np.arange(size), 1), random.permutation(size))
    return all(_permutes_by(case, places, order) for order in orders)


def _permutes_by(case: Case, places: Sequence[Place], order: Ids) -> bool:
    inputs: list[Array | None] = list(case.inputs)
    for i, axis in places:
        before = inputs[i]
        assert before is not None
        inputs[i] = np.take(before, order, axis)
        if same(before, inputs[i]):
            return False  # nothing can be told from operands that are alike all along
    try:
        results = case.run(inputs)
    except Exception:
        return False
    return all(_follows(a, b, order) for a, b in zip(case.outputs, results, strict=True))


def _follows(before: Array | None, after: Array | None, order: Ids) -> bool:
    if same(before, after):
        return True
    if before is None or after is None or before.shape != after.shape:
        return False
    axes = [axis for axis, size in enumerate(before.shape) if size == len(order)]
    return any(same(np.take(before, order, axis), after) for axis in axes)
