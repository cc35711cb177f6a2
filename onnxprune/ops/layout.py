"""Operators that only rearrange: the same elements in another shape or order."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise, takewhile

import numpy as np

from onnxprune.axes.rule import Barred, Rule
from onnxprune.graph.dims import Dim
from onnxprune.ops.broadcast import names
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op

Shape = tuple[Dim, ...]

_BLOCKS = "it deals the pixels out in whole blocks"


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def reshape(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Reshape.html; the common factors of both shapes."""
    if op.type in ("Squeeze", "Unsqueeze") and (axes := op.numbers("axes", 1, 13)) is not None:
        return _by_axes(op, axes)
    terms = _compare(op.shape(0), op.result())
    if terms is None:
        return Barred("its input and its result cannot be compared")
    left, right, sizes = terms
    if op.type == "Squeeze" and not _ones(op):
        return Barred("it has no axes and would drop those that shrink to one index")
    if op.type == "Reshape" and op.attr("allowzero", 0) not in (0, 1):
        return Barred("its allowzero is neither 0 nor 1")
    if op.type == "Reshape" and any(left[i : i + 1] != right[i : i + 1] for i in _copied(op)):
        return Barred("it copies a size from an axis that corresponds to another one")
    return Rule(
        f"{' '.join(left)} -> {' '.join(right)}",
        sizes=sizes,
        shape_inputs={1: 0} if op.type == "Reshape" else {},
        reason="the sizes before and after do not divide each other",
    )


def _by_axes(op: Op, axes: Sequence[int]) -> Rule:
    """Axes of one index that come or go where they are said to, whatever the others are."""
    longer = op.shape(0) if op.type == "Squeeze" else op.result()
    places = {axis % len(longer) for axis in axes}
    others = iter(names(len(longer) - len(places)))
    long = [
        ("_" if longer[i].dynamic else "1") if i in places else next(others)
        for i in range(len(longer))
    ]
    short = [name for i, name in enumerate(long) if i not in places]
    left, right = (long, short) if op.type == "Squeeze" else (short, long)
    return Rule(
        f"{' '.join(left)} -> {' '.join(right)}", reason="this axis has one index at run time"
    )


@patch("Squeeze")
def squeeze_patch(op: Op, kept: Kept) -> Patch:
    """Without axes it would also drop those that shrink to one index, so it gets axes."""
    if op.numbers("axes", 1, 13) is not None:
        return Patch()
    if op.version < 13:
        return Patch(attributes={"axes": _ones(op)})
    return Patch(inputs={1: np.array(_ones(op), np.int64)})


def _ones(op: Op) -> list[int]:
    return [i for i, dim in enumerate(op.shape(0)) if dim.size == 1]


def _copied(op: Op) -> list[int]:
    """The axes whose size a Reshape copies from its input."""
    if op.attr("allowzero", 0) == 1:
        return []
    return [i for i, size in enumerate(op.elements(1) or ()) if size is not None and size.size == 0]


@rule("Transpose")
def transpose(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Transpose.html."""
    taken = names(len(op.shape(0)))
    order = op.attr("perm", list(reversed(range(len(taken)))))
    return Rule(f"{' '.join(taken)} -> {' '.join(taken[i] for i in order)}")


@rule("DepthToSpace")
def depth_to_space(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__DepthToSpace.html."""
    return Rule(f"n {_depth(op)} _ _ -> n c _ _", reason=_BLOCKS)


@rule("SpaceToDepth")
def space_to_depth(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html."""
    return Rule(f"n c _ _ -> n {_depth(op)} _ _", reason=_BLOCKS)


def _depth(op: Op) -> str:
    """The axis of channels and of pixels within a block, which are major in mode DCR."""
    block = op.attr("blocksize", 0) ** 2
    return f"({block} c)" if op.attr("mode", "DCR") == "DCR" else f"(c {block})"


def _compare(before: Shape, after: Shape) -> tuple[list[str], list[str], dict[str, int]] | None:
    """Axes for two shapes of the same elements.

    Where sizes that are known only at run time cannot be compared, the first axes that are alike
    and the last static ones that hold equally many elements still correspond; what lies between
    them stays whole.
    """
    terms = _factor([d.size for d in before], [d.size for d in after])
    if terms is not None or not any(d.dynamic for d in (*before, *after)):
        return terms
    pairs = zip(before, after, strict=False)
    head = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    tails = _tails(before[head:], after[head:])
    known = [(*s[:head], *s[len(s) - n :]) for s, n in zip((before, after), tails, strict=True)]
    terms = _factor(*([d.size for d in shape] for shape in known))
    if terms is None:
        return None
    left, right, sizes = terms
    for axes, shape, tail in ((left, before, tails[0]), (right, after, tails[1])):
        axes[head:head] = ["_"] * (len(shape) - head - tail)
    return left, right, sizes


def _tails(before: Shape, after: Shape) -> tuple[int, int]:
    """How many of the last axes, all static, hold equally many elements on both sides."""
    counts = []
    for shape in (before, after):
        static = list(takewhile(lambda dim: not dim.dynamic and dim.size > 0, reversed(shape)))
        counts.append(list(accumulate((dim.size for dim in static), operator.mul, initial=1)))
    common = max(set(counts[0]) & set(counts[1]))
    return counts[0].index(common), counts[1].index(common)


def _factor(
    before: Sequence[int], after: Sequence[int]
) -> tuple[list[str], list[str], dict[str, int]] | None:
    """Axes for two shapes of the same elements, by their common factorisation, major to minor."""
    if math.prod(before) != math.prod(after) or 0 in before:
        return None
    left, right, sizes = ["1"] * len(before), ["1"] * len(after), dict[str, int]()
    for a, b in _groups(before, after):
        sides = [(left, a, _cuts(before, a)), (right, b, _cuts(after, b))]
        cuts = sorted({cut for _, _, bounds in sides for cut in bounds})
        nested = not any(high % low for low, high in pairwise(cuts))
        factors = {low: f"f{len(sizes) + n}" for n, low in enumerate(cuts[:-1])}
        if nested:
            sizes |= {factors[low]: high // low for low, high in pairwise(cuts)}
        for axes, places, bounds in sides:
            for i, (low, high) in zip(places, pairwise(bounds), strict=True):
                inside = [name for cut, name in factors.items() if low <= cut < high]
                text = inside[0] if len(inside) == 1 else f"({' '.join(inside)})"
                axes[i] = text if nested else "_"
    return left, right, sizes


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes (sizes of 1 left out) that hold equally many elements."""
    a = [i for i, size in enumerate(before) if size != 1]
    b = [i for i, size in enumerate(after) if size != 1]
    groups = []
    while a and b:
        runs = [a.pop(0)], [b.pop(0)]
        x, y = before[runs[0][0]], after[runs[1][0]]
        while x != y:
            if x < y:
                runs[0].append(a.pop(0))
                x *= before[runs[0][-1]]
            else:
                runs[1].append(b.pop(0))
                y *= after[runs[1][-1]]
        groups.append(runs)
    return groups


def _cuts(sizes: Sequence[int], places: Sequence[int]) -> list[int]:
    """Running products of the sizes at some places, starting with 1."""
    return list(accumulate((sizes[i] for i in places), operator.mul, initial=1))
