"""Tensors in which some entries are missing, and the algebra of what is present.

A `Masked` is a value and, beside it, one level per entry:

* `MISSING`: the entry has been removed; its storage is 0, always, so that it can neither
  disturb a sum nor turn into a NaN.
* `PRESENT`: the entry is there, and losing it is an error. It *objects*.
* `COPIED`: the entry is one of several copies made to fill an axis (by Expand, for instance).
  It is there, but goes without objection where what it meets is missing.

Levels are stored in as few numbers as they need: the tensor has the rank of the value, and size 1
on every axis along which presence does not vary. The levels of a feature map are (1, c, 1, 1).

Copies are remembered per axis (`born`) for as long as the axis is one, and per entry (`COPIED`)
after a reshape has merged it with another. An entry with a born axis objects only when all of its
copies would go; a `COPIED` one never does.

Three rules follow from "a present entry must not be lost":

* `meet` (element-wise): missing in, missing out. An operand objects when one of its present
  entries, counting all copies that broadcasting makes of it, is met by missing ones only. Two
  full-size operands must therefore miss the same entries, but a scalar or a row may be broadcast
  over missing ones.
* `contract` (sums of products): both operands must miss the same entries of the axes they share.
  What an operand misses beyond that must be whole rows, and these are missing from the result.
* Reductions and statistics run over what is present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np
import torch
from torch import Tensor

from onnxprune.torch.errors import BadRemoval, Leak

__all__ = [
    "COPIED",
    "MISSING",
    "PRESENT",
    "Masked",
    "combine",
    "compress",
    "contract",
    "elementwise",
    "fill",
    "meet",
    "tidy",
    "without",
]

MISSING, COPIED, PRESENT = 0, 1, 2

_NOWHERE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """A tensor of which some entries may be missing.

    Attributes:
        value: The entries; 0 where missing.
        levels: One of `MISSING`, `COPIED`, `PRESENT` per entry, as uint8; of the value's rank, and
            of the value's size or 1 on each axis. None when everything is present.
        born: Axes filled with copies, along which presence does not vary by itself.
    """

    value: Tensor
    levels: Tensor | None = None
    born: frozenset[int] = _NOWHERE

    @property
    def present(self) -> Tensor | None:
        """Which entries are present: bool, broadcastable to the value; None when all are."""
        if self.levels is None or bool((self.levels != MISSING).all()):
            return None
        return self.levels != MISSING

    @property
    def marks(self) -> Tensor | None:
        """The levels, for operators that do not follow born axes: every copy is `COPIED`."""
        if not self.born:
            return self.levels
        return levels_of(self).clamp(max=COPIED)

    @property
    def shape(self) -> torch.Size:
        """The original, full shape."""
        return self.value.shape

    def varies(self, axes: Iterable[int]) -> bool:
        """Whether presence differs along one of the axes."""
        return self.levels is not None and any(self.levels.shape[a] != 1 for a in axes)


def levels_of(x: Masked) -> Tensor:
    """The levels of a value as a tensor, also where everything is present."""
    if x.levels is not None:
        return x.levels
    return torch.full((1,) * x.value.ndim, PRESENT, dtype=torch.uint8, device=x.value.device)


def tidy(levels: Tensor | None) -> Tensor | None:
    """The same levels in as few numbers as they need; None when everything is present."""
    if levels is None or levels.numel() == 0 or bool((levels == PRESENT).all()):
        return None
    for axis, size in enumerate(levels.shape):
        first = levels.narrow(axis, 0, 1)
        if size > 1 and bool((levels == first).all()):
            levels = first
    return levels


def fill(value: Tensor, levels: Tensor | None, number: float = 0) -> Tensor:
    """The value with a number where entries are missing."""
    if levels is None:
        return value
    missing = levels == MISSING
    return value.masked_fill(missing, number) if bool(missing.any()) else value


def without(name: str, value: Tensor, removed: Mapping[int, np.ndarray] | np.ndarray) -> Masked:
    """A parameter from which entries have been removed.

    Args:
        name: The parameter's name, for errors.
        value: The parameter.
        removed: Per axis the removed indices; or a bool array, true where an entry is removed,
            broadcastable to the parameter, for what slices cannot say (a grouped convolution that
            keeps other channels in each group).

    Raises:
        BadRemoval: An axis, index or entry lies outside the parameter.
    """
    if isinstance(removed, np.ndarray):
        try:
            gone = torch.as_tensor(np.broadcast_to(removed.astype(bool), value.shape).copy())
        except ValueError:
            shapes = f"{tuple(value.shape)}, not {removed.shape}"
            raise BadRemoval(f"{name!r} has the shape {shapes}") from None
        levels = tidy(torch.where(gone, MISSING, PRESENT).to(torch.uint8))
        return Masked(fill(value, levels), levels)
    levels = torch.full((1,) * value.ndim, PRESENT, dtype=torch.uint8)
    result = value
    for axis, indices in removed.items():
        if not -value.ndim <= axis < value.ndim:
            raise BadRemoval(f"{name!r} of shape {tuple(value.shape)} has no axis {axis}")
        index = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        size = value.shape[axis]
        if index.numel() == 0:
            continue
        if not (int(index.min()) >= 0 and int(index.max()) < size):
            raise BadRemoval(f"{name!r} axis {axis} has {size} entries, index out of range")
        line = torch.full((size,), PRESENT, dtype=torch.uint8)
        line[index] = MISSING
        along = [1] * value.ndim
        along[axis] = size
        levels = torch.minimum(levels, line.reshape(along))
        result = result.clone() if result is value else result
        result = result.index_fill_(axis, index, 0)
    return Masked(result, None if result is value else levels)


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """What one operand of `meet` says, aligned to the rank of the result.

    Attributes:
        levels: Its levels.
        broadcast: Axes on which it has one entry and the result more.
        born: Axes on which it has copies.
    """

    levels: Tensor
    broadcast: tuple[int, ...] = ()
    born: frozenset[int] = _NOWHERE

    @classmethod
    def of(cls, x: Masked, shape: Sequence[int]) -> Footprint:
        """The footprint of a value that is broadcast to a shape."""
        lead = len(shape) - x.value.ndim
        sizes = (1,) * lead + tuple(x.value.shape)
        levels = levels_of(x)
        return cls(
            levels.reshape((1,) * lead + tuple(levels.shape)),
            tuple(a for a, (own, size) in enumerate(zip(sizes, shape, strict=True)) if own != size),
            frozenset(a + lead for a in x.born),
        )


def meet(footprints: Sequence[Footprint]) -> Tensor:
    """The levels where several operands meet entry by entry.

    A broadcast operand has no say over its copies where another operand spans the whole result.

    Raises:
        Leak: An operand has a present entry all of whose copies meet missing ones.
    """
    first = footprints[0].levels
    if all(f.levels is first or torch.equal(f.levels, first) for f in footprints):
        return first  # the usual case, and much the fastest
    spanned = any(not f.broadcast for f in footprints)
    result = reduce(
        _meet_two,
        (f.levels.clamp(max=COPIED) if f.broadcast and spanned else f.levels for f in footprints),
    )
    if bool((result == MISSING).any()):
        for position, footprint in enumerate(footprints):
            loose = sorted({*footprint.broadcast, *footprint.born})
            reach = result.amax(loose, keepdim=True) if loose else result
            lost = (footprint.levels == PRESENT) & (reach == MISSING)
            if bool(lost.any()):
                raise Leak(position, f"{_where(lost)} present, meets missing entries")
    return result


def _meet_two(a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(a, b) * (torch.minimum(a, b) != MISSING)


def _where(flags: Tensor) -> str:
    """The first place where a flag is set, and how many there are."""
    first = [int(i) for i in flags.nonzero()[0]]
    place = ", ".join(
        "*" if size == 1 else str(i) for i, size in zip(first, flags.shape, strict=True)
    )
    others = int(flags.sum()) - 1
    return f"[{place}]" + (f" and {others} more" if others else "")


def combine(operands: Sequence[Masked]) -> tuple[Tensor | None, frozenset[int]]:
    """The levels and born axes of an element-wise result, before any tidying.

    Raises:
        Leak: An operand has a present entry that meets missing ones only.
    """
    if all(x.levels is None and not x.born for x in operands):
        return None, _NOWHERE
    if len(operands) == 1:
        return operands[0].levels, operands[0].born
    shape = np.broadcast_shapes(*(tuple(x.value.shape) for x in operands))
    footprints = [Footprint.of(x, shape) for x in operands]
    born = frozenset(
        axis
        for axis, size in enumerate(shape)
        if size > 1
        and any(axis in f.born for f in footprints)
        and all(axis in f.born or axis in f.broadcast for f in footprints)
    )
    if all(x.levels is None for x in operands):
        return None, born
    levels = meet(footprints)
    return (None if bool((levels == PRESENT).all()) else levels), born


def elementwise(
    function: Callable[..., Tensor],
    *operands: Masked,
    safe: float | None = None,
    absorbs: bool = False,
) -> Masked:
    """Apply a function entry by entry; missing in, missing out.

    Args:
        function: From the values to the result, with broadcasting.
        *operands: The arguments.
        safe: What the function is given for missing entries, if it cannot take 0.
        absorbs: Whether one 0 among the arguments makes the result 0.

    Raises:
        Leak: An operand has a present entry that meets missing ones only.
    """
    levels, born = combine(operands)
    values = [x.value for x in operands]
    if levels is None:
        return Masked(function(*values), None, born)
    if safe is not None:
        values = [fill(x.value, x.levels, safe) for x in operands]
    result = function(*values)
    if safe is not None or not (absorbs or _keeps_zero(function, operands, levels)):
        result = fill(result, levels)
    return Masked(result, levels, born)


def _keeps_zero(
    function: Callable[..., Tensor], operands: Sequence[Masked], levels: Tensor
) -> bool:
    """Whether the result is 0 wherever it is missing: all operands miss the same, and f(0) = 0."""
    gone = levels == MISSING
    for x in operands:
        if x.levels is None or x.value.ndim != levels.ndim:
            return False
        if x.levels is not levels and not bool(((x.levels == MISSING) == gone).all()):
            return False
    with torch.no_grad():
        return not bool(function(*(x.value.new_zeros(()) for x in operands)).any())


def contract(
    first: tuple[str, Tensor | None], second: tuple[str, Tensor | None], result: str
) -> Tensor | None:
    """The levels of a sum of products.

    Args:
        first: One letter per axis of the first operand, and its marks.
        second: The same of the second operand. A letter in both is one axis.
        result: The letters of the result; what both share and it has not is summed over.

    Raises:
        Leak: The operands miss different entries of what they share, or one is ragged.
    """
    if first[1] is None and second[1] is None:
        return None
    order = sorted({*first[0], *second[0]})
    operands = [_aligned(letters, levels, order) for letters, levels in (first, second)]
    own = [set(first[0]) - set(second[0]), set(second[0]) - set(first[0])]
    summed = [
        i for i, x in enumerate(order) if x in first[0] and x in second[0] and x not in result
    ]
    shared = meet(
        [
            Footprint(_most(levels, [i for i, x in enumerate(order) if x in own[position]]))
            for position, levels in enumerate(operands)
        ]
    )
    rows = []
    for position, levels in enumerate(operands):
        kept = levels * (shared != MISSING)
        row = _most(kept, summed)
        ragged = (kept != MISSING) != ((row != MISSING) & (shared != MISSING))
        if bool(ragged.any()):
            raise Leak(position, f"{_where(ragged)} missing, but not its whole row")
        rows.append(row)
    levels = _meet_two(*rows)
    kept_axes = [order.index(x) for x in result if x in order]
    levels = levels.permute([*kept_axes, *(i for i in range(len(order)) if i not in kept_axes)])
    return tidy(levels.reshape(levels.shape[: len(kept_axes)]))


def _aligned(letters: str, levels: Tensor | None, order: Sequence[str]) -> Tensor:
    """Levels with one axis per letter of the order."""
    if levels is None:
        return torch.full((1,) * len(order), PRESENT, dtype=torch.uint8)
    ranked = sorted(range(len(letters)), key=lambda i: letters[i])
    sizes = {letters[i]: levels.shape[i] for i in ranked}
    return levels.permute(ranked).reshape([sizes.get(x, 1) for x in order])


def _most(levels: Tensor, axes: Sequence[int]) -> Tensor:
    return levels.amax(tuple(axes), keepdim=True) if axes else levels


def count_present(x: Masked, axes: Sequence[int]) -> Tensor | int:
    """How many entries are present along the axes; at least 1, so that one may divide by it."""
    if not x.varies(axes):
        return max(prod(x.value.shape[a] for a in axes), 1)
    assert x.levels is not None
    shape = [x.value.shape[a] if a in axes else n for a, n in enumerate(x.levels.shape)]
    present = (x.levels != MISSING).expand(shape)
    return present.sum(tuple(axes), keepdim=True).clamp(min=1)


def compress(x: Masked) -> Tensor:
    """The present entries of a value, as a smaller tensor of the same rank.

    Raises:
        Leak: They do not form a rectangle, or an axis would be left empty.
    """
    present = x.present
    if present is None:
        return x.value
    value = x.value
    rectangle = torch.ones((), dtype=torch.bool)
    keeps = []
    for axis in range(present.ndim):
        others = [a for a in range(present.ndim) if a != axis]
        keep = present.amax(others, keepdim=True) if others else present
        keeps.append(keep.flatten())
        rectangle = rectangle & keep
    if not bool(present.any()):
        raise Leak(None, "nothing is present")
    if not bool((rectangle == present).all()):
        raise Leak(None, "what is present is not a rectangle")
    for axis, keep in enumerate(keeps):
        if len(keep) > 1:
            value = value.index_select(axis, keep.nonzero().flatten())
    return value
