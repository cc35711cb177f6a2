"""An axis as an ordered product of factors, outermost first.

A factor either carries a label (see `onnxprune.axes.atoms`) or is opaque: all its indices always
stay, and it knows why. Two axes that are the same meet in their common refinement, so ``8 x 16``
and ``4 x 32`` become ``4 x 2 x 16`` whoever comes first, and a dynamic batch merged with the heads
leaves the heads prunable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxprune.axes.atoms import Atoms, Ids

__all__ = ["Factor", "Factors", "deal", "flatten", "freeze", "meet", "size_of", "take"]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One factor of an axis.

    Attributes:
        size: The number of indices; of a dynamic factor the stand-in of `onnxprune.graph.Dim`.
        label: (size, k) atoms, None when opaque.
        why: The number of the reason why an opaque factor stays whole.
        dynamic: Whether the size is known only at run time.
        alike: Whether the entries are copies that an operator made, as many as it was asked for.
    """

    size: int
    label: Ids | None = None
    why: int = 0
    dynamic: bool = False
    alike: bool = False


Factors = tuple[Factor, ...]


def size_of(axis: Factors) -> int:
    """The number of indices of an axis."""
    return math.prod(factor.size for factor in axis)


def freeze(atoms: Atoms, axis: Factors, reason: int) -> None:
    """Every index of the axis always stays."""
    for factor in axis:
        if factor.label is not None:
            atoms.freeze(factor.label, reason)


def meet(atoms: Atoms, first: Factors, second: Factors, reason: int) -> Factors:
    """The two axes are the same: learn what follows, return their common refinement."""
    a = [f for f in first if f.size != 1]
    b = [f for f in second if f.size != 1]
    met: list[Factor] = []
    while a and b:
        if a[0].size < b[0].size:
            a, b = b, a
        if not b[0].size or a[0].size % b[0].size:
            break
        if a[0].size > b[0].size:
            a[:1] = _split(atoms, a[0], b[0].size, reason)
        met.append(_same(atoms, a.pop(0), b.pop(0), reason))
    if a or b:  # sizes that do not nest: what is left stays whole
        why = _cause(tuple(a + b), reason)
        freeze(atoms, tuple(a + b), why)
        met.append(Factor(max(size_of(tuple(a)), size_of(tuple(b))), why=why, dynamic=True))
    return tuple(met)


def deal(atoms: Atoms, axis: Factors, sizes: Sequence[int], reason: int) -> list[Factors]:
    """Split an axis into consecutive axes of the given sizes, major to minor."""
    if size_of(axis) != math.prod(sizes):
        freeze(atoms, axis, reason)
        why = _cause(axis, reason)
        return [(Factor(size, why=why, dynamic=True),) for size in sizes]
    rest = [f for f in axis if f.size != 1]
    dealt: list[Factors] = []
    for size in sizes:
        part: list[Factor] = []
        while size > 1:
            head = rest.pop(0)
            if head.size > size and head.size % size == 0:
                outer, inner = _split(atoms, head, size, reason)
                rest.insert(0, inner)
                head = outer
            if size % head.size:
                freeze(atoms, axis, reason)
                return [(Factor(size, why=reason, dynamic=True),) for size in sizes]
            part.append(head)
            size //= head.size
        dealt.append(tuple(part))
    return dealt


def _cause(axis: Factors, reason: int) -> int:
    """Why the sizes of an axis are not those it should have: what made a factor opaque, if any."""
    return next((f.why for f in axis if f.label is None and f.why), reason)


def flatten(atoms: Atoms, axis: Factors, reason: int) -> Factor:
    """The axis as one factor. A dynamic factor beside labelled ones makes it opaque."""
    size = size_of(axis)
    if all(f.label is None for f in axis):
        return Factor(size, None, axis[0].why if axis else reason, any(f.dynamic for f in axis))
    if len(axis) == 1:
        return axis[0]
    if any(f.dynamic for f in axis):
        freeze(atoms, axis, reason)
        return Factor(size, None, reason, True)
    columns: list[Ids] = []
    outer = 1
    for factor in axis:
        if factor.label is not None:
            inner = size // outer // factor.size
            columns.append(np.tile(np.repeat(factor.label, inner, axis=0), (outer, 1)))
        outer *= factor.size
    return Factor(size, np.concatenate(columns, axis=1), alike=any(f.alike for f in axis))


def take(factor: Factor, indices: Ids) -> Factor:
    """The factor's indices in another order, some left out, some repeated."""
    label = None if factor.label is None else factor.label[indices]
    return Factor(len(indices), label, factor.why, alike=factor.alike)


def _same(atoms: Atoms, a: Factor, b: Factor, reason: int) -> Factor:
    if a.label is not None and b.label is not None:
        atoms.unify(a.label, b.label, reason)
        return b if a.alike else a
    opaque, other = (a, b) if a.label is None else (b, a)
    if other.label is not None:
        atoms.freeze(other.label, opaque.why or reason)
    return opaque


def _split(atoms: Atoms, factor: Factor, outer: int, reason: int) -> list[Factor]:
    inner = factor.size // outer
    if factor.label is None:
        return [Factor(n, None, factor.why, factor.dynamic) for n in (outer, inner)]
    labels = atoms.split(factor.label, outer, reason)
    parts = zip((outer, inner), labels, strict=True)
    return [Factor(n, label, alike=factor.alike) for n, label in parts]
