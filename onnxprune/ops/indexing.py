"""Operators that join or split along an axis, or pick from it."""

from __future__ import annotations

import math

import numpy as np

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.patch import Kept, Patch, remaining
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op


@rule("Concat")
def concat(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Concat.html."""
    rank = len(op.result())
    axis = op.attr("axis", 0) % rank
    shared = names(rank)
    parts = names(len(op.node.inputs), prefix="x")
    operands = [" ".join([*shared[:axis], part, *shared[axis + 1 :]]) for part in parts]
    joined = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
    return Rule(
        f"{', '.join(operands)} -> {' '.join([*shared[:axis], joined, *shared[axis + 1 :]])}"
    )


@rule("Split")
def split(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Split.html; the sizes are those of the results."""
    taken = names(len(op.shape(0)))
    axis = op.attr("axis", 0) % len(taken)
    dims = [op.result(i)[axis] for i in range(len(op.node.outputs))]
    if op.shape(0)[axis].dynamic or any(dim.dynamic for dim in dims):
        taken[axis] = "_"
        results = [" ".join(taken)] * len(dims)
    else:
        ends = np.cumsum([dim.size for dim in dims])
        pieces = [f"{taken[axis]}[{e - d.size}:{e}]" for d, e in zip(dims, ends, strict=True)]
        results = [" ".join([*taken[:axis], piece, *taken[axis + 1 :]]) for piece in pieces]
    return Rule(
        f"{' '.join(taken)} -> {', '.join(results)}",
        reason="the sizes it is split into are computed while the model runs",
    )


@patch("Split")
def split_patch(op: Op, kept: Kept) -> Patch:
    """The sizes become what stays of each result."""
    axis = op.attr("axis", 0) % len(op.shape(0))
    masks = [kept.output(i, axis) for i in range(len(op.node.outputs))]
    if kept.input(0, axis) is None:
        return Patch()
    sizes = [
        op.result(i)[axis].size if mask is None else int(mask.sum()) for i, mask in enumerate(masks)
    ]
    if op.version < 13:
        return Patch(attributes={"split": sizes})
    return Patch(attributes={"num_outputs": None}, inputs={1: np.array(sizes, np.int64)})


@rule("Gather")
def gather(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Gather.html; constant indices pick, others need all."""
    taken = names(len(op.shape(0)))
    axis = op.attr("axis", 0) % len(taken)
    indices, dim = op.shape(1), op.shape(0)[axis]
    before, name, after = taken[:axis], taken[axis], taken[axis + 1 :]
    picked = op.constant(1) and not dim.dynamic and dim.size > 0 and len(indices) < 2
    if picked and indices:
        text = f"{' '.join(taken)}, _ -> {' '.join([*before, f'{name}[i]', *after])}"
        places = np.array(op.ints(1), np.int64) % dim.size
        return Rule(text, indices={"i": places}, reason="it holds the indices to pick")
    if picked:
        place = np.array(op.ints(1), np.int64).item() % dim.size
        sides = (place, dim.size - 1 - place)
        left, right = (f"~{count}" if count else "" for count in sides)
        whole = " + ".join(filter(None, (left, "1", right)))
        text = f"{' '.join([*before, f'({whole})', *after])}, -> {' '.join([*before, *after])}"
        return Rule(text, reason="a single index of this axis is taken")
    if _deals(op, axis):
        parts = names(len(indices), prefix="i")
        dealt = ["1" if d.size == 1 else part for part, d in zip(parts, indices, strict=True)]
        whole = f"({' '.join(dealt)})"
        text = " ".join([*before, whole, *after])
        sizes = {part: d.size for part, d in zip(dealt, indices, strict=True) if part != "1"}
        return Rule(
            f"{text}, {' '.join('_' * len(indices))} -> {' '.join([*before, *dealt, *after])}",
            sizes=sizes,
            reason="it holds the indices to pick",
        )
    return Rule(
        f"{' '.join([*before, '_', *after])}, {' '.join('_' * len(indices))}"
        f" -> {' '.join([*before, *'_' * len(indices), *after])}",
        reason="its indices, which lie on several axes, pick of this one"
        if op.constant(1)
        else "it picks indices of this axis while the model runs",
    )


@patch("Gather")
def gather_patch(op: Op, kept: Kept) -> Patch:
    """Indices are renumbered; those of removed entries are left out."""
    axis = op.attr("axis", 0) % len(op.shape(0))
    mask = kept.input(0, axis)
    if mask is None:
        return Patch()
    if _deals(op, axis):
        places = [kept.output(0, axis + i) for i in range(len(op.shape(1)))]
        sizes = [
            d.size if place is None else int(place.sum())
            for d, place in zip(op.shape(1), places, strict=True)
        ]
        return Patch(inputs={1: np.arange(math.prod(sizes)).reshape(sizes)})
    picked = np.array(op.ints(1), np.int64) % len(mask)
    return Patch(inputs={1: remaining(picked, mask).reshape([-1] * len(op.shape(1)))})


def _deals(op: Op, axis: int) -> bool:
    """Whether a Gather takes all indices in order, as a reshape would: torch's strided views."""
    size, indices = op.shape(0)[axis], op.shape(1)
    if len(indices) < 2 or size.dynamic or not op.constant(1):
        return False
    return op.ints(1) == list(range(size.size))
