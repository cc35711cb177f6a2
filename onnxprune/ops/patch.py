"""What a node must become when its tensors shrink, as data: the rewriter carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.ops.view import Op

__all__ = ["Kept", "Mask", "Overlay", "Patch", "remaining", "renumbered"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlay:
    """New elements for a vector of sizes; the others keep their values.

    Attributes:
        length: The number of elements, None for a scalar.
        fixed: Position -> the size.
        scaled: Position -> (numerator, denominator): a multiple of the denominator to rescale;
            smaller numbers (-1, 0, and the 1 of Expand) mean something else and stay.
    """

    length: int | None
    fixed: Mapping[int, int] = field(default_factory=dict)
    scaled: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.fixed or self.scaled)


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes of one node.

    Attributes:
        attributes: New values; None removes an attribute.
        inputs: Input slot -> a new constant, or an overlay of what is there.
        outputs: Output -> an overlay of what the node computes.
        picks: Input slot -> axis -> the indices that are picked out of it before the node.
    """

    attributes: Mapping[str, int | float | list[int] | None] = field(default_factory=dict)
    inputs: Mapping[int, npt.NDArray[np.int64] | Overlay] = field(default_factory=dict)
    outputs: Mapping[int, Overlay] = field(default_factory=dict)
    picks: Mapping[int, Mapping[int, npt.NDArray[np.int64]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.attributes or self.inputs or self.picks or any(self.outputs.values()))

    def __or__(self, other: Patch) -> Patch:
        return Patch(
            {**self.attributes, **other.attributes},
            {**self.inputs, **other.inputs},
            {**self.outputs, **other.outputs},
            {**self.picks, **other.picks},
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a node's tensors.

    Attributes:
        input: (input, axis) -> which indices stay, None when all do.
        output: (output, axis) -> the same for results.
        restored: Input -> the overlay that turns its new sizes into the original ones.
    """

    input: Callable[[int, int], Mask | None]
    output: Callable[[int, int], Mask | None]
    restored: Callable[[int], Overlay]


def renumbered(op: Op, name: str, i: int, since: int, new: Mapping[int, int]) -> Patch:
    """New elements for integers that are an attribute before opset `since`, then input `i`.

    Args:
        op: The node.
        name: The attribute.
        i: The input.
        since: The opset.
        new: Position -> the new element; the others stay, known or not.
    """
    old = op.known(name, i, since) or []
    if all(old[place] == element for place, element in new.items()):
        return Patch()
    if None in old:
        return Patch(inputs={i: Overlay(len(old), new)})
    numbers = [new.get(place, old[place] or 0) for place in range(len(old))]
    if op.version < since:
        return Patch(attributes={name: numbers})
    return Patch(inputs={i: np.array(numbers, np.int64)})


def remaining(picked: Ids, mask: Mask) -> Ids:
    """Of indices that are picked from an axis those that stay, as they count when it has shrunk."""
    return (np.cumsum(mask) - 1)[picked[mask[picked]]].astype(np.int64)
