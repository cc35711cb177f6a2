"""The first oracle: a name is an index set, so its indices may change places.

If a name is permuted wherever it stands among the operands, every result must be permuted wherever
it stands there, and unchanged where it does not. What stands on a free axis must not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from onnxprune.axes.atoms import Ids
from onnxprune.axes.bind import Binding
from onnxprune.axes.sentence import FREE, Operand
from onnxprune.oracle.cases import Case
from onnxprune.oracle.evaluate import Array, same
from onnxprune.oracle.places import alike, keys, moved

__all__ = ["free", "permute"]


def permute(case: Case, binding: Binding, name: str, order: Mapping[int, int]) -> Iterator[str]:
    """Permute a name in all operands of a case.

    Args:
        case: The case.
        binding: The sentence, bound to the shapes of the case.
        name: The name.
        order: Index of the name -> the index that takes its place.

    Yields:
        What does not hold, in words.
    """
    inputs = list(case.inputs)
    for i, (array, operand) in enumerate(zip(case.inputs, binding.inputs, strict=False)):
        if operand is not None and array is not None:
            inputs[i] = _take(array, _places(array, operand, binding, name, order))
    try:
        found = case.run(inputs)
    except Exception as error:
        yield f"permuting {name} fails: {error}"
        return
    for i, (before, after) in enumerate(zip(case.outputs, found, strict=True)):
        if before is None or after is None:
            continue
        if before.shape != after.shape:
            yield f"permuting {name} changes the shape of result {i}"
            continue
        taken = _places(before, binding.outputs[i], binding, name, order)
        known = [np.flatnonzero(places >= 0) for places in taken]
        expected = _take(before, [t[k] for t, k in zip(taken, known, strict=True)])
        if not same(expected, _take(after, known)):
            yield f"permuting {name} changes result {i}"


def free(case: Case, binding: Binding) -> Iterator[str]:
    """Change what stands on the free axes of the operands; look at alike entries of the results.

    Args:
        case: The case.
        binding: The sentence, bound to the shapes of the case.

    Yields:
        What does not hold, in words.
    """
    for i, (array, operand) in enumerate(zip(case.inputs, binding.inputs, strict=False)):
        for place, axis in enumerate(operand or ()):
            if axis.term == FREE and array is not None:
                inputs = list(case.inputs)
                inputs[i] = np.roll(array, 1, place)
                if not all(map(same, case.outputs, case.run(inputs))):
                    yield f"axis {place} of operand {i} is not free"
    for i, (array, operand) in enumerate(zip(case.outputs, binding.outputs, strict=True)):
        for place, axis in enumerate(operand):
            if array is not None:
                first = alike(keys(axis, array.shape[place], binding))
                if not same(array, np.take(array, first, place)):
                    yield f"entries of axis {place} of result {i} are not alike"


def _places(
    array: Array, operand: Operand, binding: Binding, name: str, order: Mapping[int, int]
) -> list[Ids]:
    axes = zip(operand, array.shape, strict=True)
    return [moved(keys(axis, size, binding), name, order) for axis, size in axes]


def _take(array: Array, places: list[Ids]) -> Array:
    for axis, indices in enumerate(places):
        array = np.take(array, indices, axis)
    return array
