"""What a rule says of one node: a sentence with its numbers, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxprune.axes.sentence import Sentence, parse

__all__ = ["ROLES", "Barred", "Rule"]

ROLES = ("channel", "hidden", "group", "head-size", "head")
"""What the indices of a name can be; where several are said of the same ones, the last counts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How the axes of one node belong together, and what must follow when they shrink.

    Attributes:
        sentence: The sentence, in the language of `onnxprune.axes.sentence`. Inputs that it does
            not reach are kept whole.
        sizes: Sizes of names that the shapes alone do not tell (``{"g": 4}``).
        indices: Integer arrays for ``c[i]``.
        attributes: Attribute -> the name whose kept size it must state (``{"group": "g"}``), or a
            product of names and numbers (``{"q_num_heads": "k g"}``).
        shape_inputs: Input slot -> the output whose shape, or last axes of it, that input spells
            out.
        within: Name -> another name of the sentence, its group (``{"c": "g"}``): the operator needs
            equally many indices in every group, not the same ones.
        roles: Name -> what its indices are, if more than channels (``{"k": "head"}``), of `ROLES`.
        reason: Why the axes written ``_`` stay whole.
    """

    sentence: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    indices: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    shape_inputs: Mapping[int, int] = field(default_factory=dict)
    within: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    reason: str = "the operator needs this axis whole"

    @property
    def parsed(self) -> Sentence:
        """The parsed sentence."""
        return parse(self.sentence)

    def stated(self, sizes: Callable[[str], int]) -> dict[str, int]:
        """What each attribute must state.

        Args:
            sizes: Gives the size of a name.
        """
        return {
            attribute: math.prod(int(t) if t.isdecimal() else sizes(t) for t in product.split())
            for attribute, product in self.attributes.items()
        }


@dataclass(frozen=True, slots=True)
class Barred:
    """No sentence holds for the node: everything it touches stays whole, for this reason."""

    reason: str
