"""What a node must become when its tensors shrink, as data: the rewriter carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Kept", "Overlay", "Patch"]

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
    """

    attributes: Mapping[str, int | list[int] | None] = field(default_factory=dict)
    inputs: Mapping[int, npt.NDArray[np.int64] | Overlay] = field(default_factory=dict)
    outputs: Mapping[int, Overlay] = field(default_factory=dict)


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
