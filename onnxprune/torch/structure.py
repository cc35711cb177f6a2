"""Moving entries about: the value and its levels alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor

from onnxprune.torch.errors import Leak
from onnxprune.torch.masked import Masked, levels_of, tidy

__all__ = ["demand_whole", "permute", "positions", "reshape", "spread", "take", "whole"]


def spread(x: Masked, axes: Iterable[int]) -> Tensor:
    """The marks of a value, at its full size on some axes."""
    marks = Masked(x.value, levels_of(x), x.born).marks
    assert marks is not None
    axes = set(axes)
    return marks.expand(
        [
            n if a in axes else m
            for a, (n, m) in enumerate(zip(x.value.shape, marks.shape, strict=True))
        ]
    )


def demand_whole(x: Masked, axes: Iterable[int], why: str, operand: int = 0) -> None:
    """Refuse missing entries along axes of which an operator needs every position.

    Raises:
        Leak: Presence differs along one of them.
    """
    axes = [axis for axis in axes if x.varies([axis])]
    present = x.present if axes else None
    if present is None:
        return
    for axis in axes:
        if not bool((present == present.narrow(axis, 0, 1)).all()):
            raise Leak(operand, f"entries missing along axis {axis}, {why}")


def whole(x: Masked, axes: Iterable[int], why: str, operand: int = 0) -> Masked:
    """A value whose levels do not vary along axes of which an operator needs every position.

    Raises:
        Leak: Presence differs along one of them.
    """
    axes = list(axes)
    demand_whole(x, axes, why, operand)
    if x.levels is None or not x.varies(axes):
        return x
    return Masked(x.value, tidy(x.levels.amax(tuple(axes), keepdim=True)), x.born)


def positions(index: Masked, axis: int) -> Masked:
    """Positions on an axis; where whole ones do not differ along another, they are copies."""
    if index.levels is not None:
        return index
    alike = frozenset(
        a
        for a, size in enumerate(index.shape)
        if a != axis and size > 1 and torch.equal(*_ends(index.value, a))
    )
    return Masked(index.value, None, index.born | alike)


def _ends(value: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """All entries but the last of an axis, and all but the first."""
    size = value.shape[axis]
    return value.narrow(axis, 0, size - 1), value.narrow(axis, 1, size - 1)


def permute(x: Masked, order: Sequence[int]) -> Masked:
    """Transpose."""
    levels = None if x.levels is None else x.levels.permute(*order)
    born = frozenset(i for i, a in enumerate(order) if a in x.born)
    return Masked(x.value.permute(*order), levels, born)


def reshape(x: Masked, shape: Sequence[int]) -> Masked:
    """Reshape to a shape, of which one size may be -1.

    Levels are spread out only where axes are merged or split. A born axis that stays an axis
    stays born; one that is merged or split leaves `COPIED` entries.
    """
    value = x.value.reshape(*shape) if len(shape) else x.value.reshape(())
    if (x.levels is None and not x.born) or value.numel() == 0:
        return Masked(value)
    groups = _groups(x.value.shape, value.shape)
    born, mixed = set(), False
    for before, after in groups:
        inside = x.born & set(before)
        if inside and len(before) == len(after) == 1:
            born.add(after[0])
        elif inside:
            mixed = True
    levels = x.marks if mixed else x.levels
    if levels is None:
        return Masked(value, None, frozenset(born))
    full = list(levels.shape)
    target = [1] * value.ndim
    for before, after in groups:
        if any(levels.shape[a] != 1 for a in before):
            for axis in before:
                full[axis] = x.value.shape[axis]
            for axis in after:
                target[axis] = value.shape[axis]
    if all(len(before) == len(after) == 1 for before, after in groups):
        return Masked(value, levels.reshape(target), frozenset(born))
    levels = levels.expand(full).reshape(target)
    return Masked(value, tidy(levels), frozenset(born))


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which axes of one shape become which of another, leaving out those of size 1."""
    left = [a for a, size in enumerate(before) if size != 1]
    right = [a for a, size in enumerate(after) if size != 1]
    groups = []
    i = j = 0
    while i < len(left):
        inside, outside = [left[i]], [right[j]]
        i, j = i + 1, j + 1
        while (a := prod(before[k] for k in inside)) != (b := prod(after[k] for k in outside)):
            if a < b:
                inside.append(left[i])
                i += 1
            else:
                outside.append(right[j])
                j += 1
        groups.append((inside, outside))
    return groups


def take(x: Masked, axis: int, index: Tensor) -> Masked:
    """The entries at some positions of an axis, which the axes of the index replace."""
    axis %= x.value.ndim
    index = torch.where(index < 0, index + x.value.shape[axis], index).to(torch.int64)
    shape = (*x.value.shape[:axis], *index.shape, *x.value.shape[axis + 1 :])
    value = x.value.index_select(axis, index.flatten()).reshape(shape)
    marks = x.marks
    if marks is None:
        return Masked(value)
    if marks.shape[axis] != 1:
        marks = marks.index_select(axis, index.flatten())
        inner: Sequence[int] = index.shape
    else:
        inner = (1,) * index.ndim
    return Masked(value, tidy(marks.reshape(*marks.shape[:axis], *inner, *marks.shape[axis + 1 :])))
