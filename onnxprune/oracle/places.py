"""What every index of an axis stands for, and where it goes when an index set is rearranged."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from onnxprune.axes.atoms import Ids
from onnxprune.axes.bind import Binding
from onnxprune.axes.sentence import Axis
from onnxprune.ops.patch import Mask

__all__ = ["Key", "alike", "carries", "keys", "moved"]

Key = tuple[int, tuple[tuple[str, int], ...]]
"""The part of its axis that an index is in; each term of that with its own index."""


def keys(axis: Axis, total: int, binding: Binding) -> list[Key]:
    """What each index of an axis stands for.

    Args:
        axis: The axis.
        total: How many indices it has.
        binding: The sizes of the names.

    Returns:
        For each index a key.
    """
    found: list[Key] = []
    for place, (part, size) in enumerate(
        zip(axis.parts, binding.part_sizes(axis, total), strict=True)
    ):
        for index in np.ndindex(*binding.term_sizes(part, size)):
            terms = []
            for term, i in zip(part, index, strict=True):
                if term.is_name and term.index is not None:
                    i = int(binding.picked(term, binding.sizes[term.text])[i])
                terms.append((term.text, i))
            found.append((place, tuple(terms)))
    assert len(found) == total
    return found


def moved(found: list[Key], name: str, order: Mapping[int, int]) -> Ids:
    """Which index takes the place of each index of an axis when a name is permuted.

    Args:
        found: The keys of the axis.
        name: The name.
        order: Index of the name -> the index that takes its place.

    Returns:
        For each index of the axis the one that takes its place, -1 where that is not on this axis;
        it is in the same part of the axis if that has it.
    """
    inside = {key: i for i, key in enumerate(found)}
    anywhere: dict[object, int] = {}
    for i, (_, terms) in enumerate(found):
        anywhere.setdefault(terms, i)
    taken = np.arange(len(found))
    for i, (part, terms) in enumerate(found):
        new = tuple((t, order[n]) if t == name else (t, n) for t, n in terms)
        if new != terms:
            taken[i] = inside.get((part, new), anywhere.get(new, -1))
    return taken


def alike(found: list[Key]) -> Ids:
    """The first index that holds the same as each index of an axis, by its alike entries.

    Args:
        found: The keys of the axis.
    """
    first: dict[object, int] = {}
    return np.array(
        [
            first.setdefault(
                (
                    -1 if any(t[0].isalpha() for t, _ in terms) else part,
                    tuple((t, 0 if t[0] == "~" else n) for t, n in terms),
                ),
                i,
            )
            for i, (part, terms) in enumerate(found)
        ],
        np.int64,
    )


def carries(found: list[Key], name: str, indices: Collection[int]) -> Mask:
    """Which indices of an axis depend on one of some indices of a name.

    Args:
        found: The keys of the axis.
        name: The name.
        indices: Indices of the name.
    """
    gone = {(name, index) for index in indices}
    return np.array([not gone.isdisjoint(terms) for _, terms in found], bool)
