"""Concat, Split, Expand and Tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from onnxprune.torch.masked import (
    COPIED,
    MISSING,
    Footprint,
    Masked,
    fill,
    levels_of,
    meet,
    tidy,
)
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape, spread


@operator("Concat")
def _concat(call: Call) -> Masked:
    parts = [x for x in call.inputs if x is not None]
    return concat(parts, call.attribute("axis", 1) % parts[0].value.ndim)


def stack(parts: Sequence[Masked], axis: int = 0) -> Masked:
    """Values of one shape, one after the other along a new axis."""
    return concat([reshape(x, [*x.shape[:axis], 1, *x.shape[axis:]]) for x in parts], axis)


def concat(parts: Sequence[Masked], axis: int) -> Masked:
    """Values one after the other along an axis; elsewhere they must miss the same."""
    value = torch.cat([x.value for x in parts], axis)
    if all(x.levels is None and not x.born for x in parts):
        return Masked(value)
    parts = [x for x in parts if x.value.numel()]
    shared = frozenset.intersection(*(x.born for x in parts)) - {axis}
    if all(x.levels is None and axis not in x.born for x in parts):
        return Masked(value, None, shared)
    common = meet([Footprint(levels_of(x).amax(axis, True), (), x.born - {axis}) for x in parts])
    levels = torch.cat([_along(x, axis, common) for x in parts], axis)
    return Masked(fill(value, levels), tidy(levels), shared)


def _along(x: Masked, axis: int, common: Tensor) -> Tensor:
    """The levels of one part, spread along the axis, missing where the others are."""
    own = levels_of(x)
    sizes = [max(a, b) for a, b in zip(own.shape, common.shape, strict=True)]
    sizes[axis] = x.value.shape[axis]
    soft = own.clamp(max=COPIED) if axis in x.born else own
    return (soft * (common != MISSING)).expand(sizes)


@operator("Split")
def _split(call: Call) -> list[Masked]:
    x = call[0]
    axis = call.attribute("axis", 0) % x.value.ndim
    sizes = call.integers("split", 1)
    if sizes is None:
        total, count = x.shape[axis], call.attribute("num_outputs") or call.outputs
        size = -(-total // count)
        sizes = [min(size, max(total - i * size, 0)) for i in range(count)]
    return split(x, axis, sizes)


def split(x: Masked, axis: int, sizes: Sequence[int]) -> list[Masked]:
    """A value cut up along an axis."""
    marks = spread(x, [axis]) if x.varies([axis]) else None
    parts = []
    for i, value in enumerate(torch.split(x.value, list(sizes), axis)):
        if marks is None:
            parts.append(Masked(value, x.levels, x.born))
        else:
            levels = marks.narrow(axis, sum(sizes[:i]), sizes[i])
            parts.append(Masked(value, tidy(levels)))
    return parts


@operator("Expand")
def _expand(call: Call) -> Masked:
    x = call[0]
    shape = np.broadcast_shapes(tuple(x.shape), tuple(call.setting(1).tolist()))
    lead = len(shape) - x.value.ndim
    sizes = (1,) * lead + tuple(x.shape)
    new = {a for a, (own, size) in enumerate(zip(sizes, shape, strict=True)) if own != size}
    levels = x.levels
    if levels is not None:
        levels = levels.reshape((1,) * lead + tuple(levels.shape))
    return Masked(x.value.expand(shape), levels, frozenset({a + lead for a in x.born} | new))


@operator("Tile")
def _tile(call: Call) -> Masked:
    x = call[0]
    repeats = [int(n) for n in call.setting(1).tolist()]
    value = x.value.repeat(repeats)
    new = frozenset(a for a, n in enumerate(repeats) if n > 1 and x.shape[a] == 1)
    levels = x.levels
    if any(n > 1 and x.shape[a] != 1 for a, n in enumerate(repeats)):  # copies of what differs
        marks = Masked(x.value, levels_of(x), x.born).marks
        assert marks is not None
        levels = marks.clamp(max=COPIED)
    if levels is not None:
        levels = levels.repeat(
            [1 if size == 1 else n for n, size in zip(repeats, levels.shape, strict=True)]
        )
    return Masked(value, None if levels is None else tidy(levels), x.born | new)
