"""Operators that join, cut, pad or pick along an axis."""

from __future__ import annotations

import numpy as np

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op, Unknown


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
        reason="it is split into sizes that are known only at run time",
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


def _bounds(op: Op) -> dict[int, tuple[int, int, int]]:
    """Axis -> (start, end, step) of a Slice, as Python's slices give them."""
    shape = op.shape(0)
    starts, ends = _written(op)
    axes = op.numbers("axes", 3, 10) or list(range(len(starts)))
    steps = op.numbers("steps", 4, 10) or [1] * len(starts)
    bounds = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis % len(shape)].size
        bounds[axis % len(shape)] = slice(start, end, step).indices(size)
    return bounds


def _written(op: Op) -> tuple[list[int], list[int]]:
    """The starts and ends of a Slice as they stand in the model."""
    starts, ends = op.numbers("starts", 1, 10), op.numbers("ends", 2, 10)
    if starts is None or ends is None:
        raise Unknown("its bounds are missing")
    return starts, ends


@rule("Slice")
def slice_(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Slice.html; steps other than 1 keep the axis whole."""
    shape, result, taken = op.shape(0), op.result(), names(len(op.shape(0)))
    given = list(taken)
    for axis, (start, end, step) in _bounds(op).items():
        if (start, end, step) == (0, shape[axis].size, 1) and result[axis] == shape[axis]:
            continue
        if step == 1 and not shape[axis].dynamic and start < end:
            given[axis] = f"{taken[axis]}[{start}:{end}]"
        else:
            taken[axis] = given[axis] = "_"
    return Rule(
        f"{' '.join(taken)} -> {' '.join(given)}",
        reason="it takes every so-manieth index, or bounds that move with a dynamic size",
    )


@patch("Slice")
def slice_patch(op: Op, kept: Kept) -> Patch:
    """Bounds count what stays before them."""
    starts, ends = _written(op)
    counted = False
    for i, (axis, (start, end, _)) in enumerate(_bounds(op).items()):
        mask = None if op.shape(0)[axis].dynamic else kept.input(0, axis)
        if mask is not None:
            starts[i], ends[i] = int(mask[:start].sum()), int(mask[:end].sum())
            counted = True
    if not counted:
        return Patch()
    if op.version < 10:
        return Patch(attributes={"starts": starts, "ends": ends})
    return Patch(inputs={1: np.array(starts, np.int64), 2: np.array(ends, np.int64)})


@rule("Gather")
def gather(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Gather.html; constant indices pick, others need all."""
    taken = names(len(op.shape(0)))
    axis = op.attr("axis", 0) % len(taken)
    indices, dim = op.shape(1), op.shape(0)[axis]
    before, name, after = taken[:axis], taken[axis], taken[axis + 1 :]
    if len(indices) == 1 and op.constant(1) and not dim.dynamic and dim.size:
        picked = np.array(op.ints(1), np.int64) % dim.size
        text = " ".join([*before, f"{name}[i]", *after])
        return Rule(f"{' '.join(taken)}, _ -> {text}", indices={"i": picked})
    return Rule(
        f"{' '.join([*before, '_', *after])}, {' '.join('_' * len(indices))}"
        f" -> {' '.join([*before, *'_' * len(indices), *after])}",
        reason="it picks indices of this axis while the model runs, or a single one",
    )


@patch("Gather")
def gather_patch(op: Op, kept: Kept) -> Patch:
    """Indices are renumbered; those of removed entries are left out."""
    axis = op.attr("axis", 0) % len(op.shape(0))
    mask = kept.input(0, axis)
    if mask is None:
        return Patch()
    picked = np.array(op.ints(1), np.int64) % len(mask)
    renumbered = np.cumsum(mask)[picked[mask[picked]]] - 1
    return Patch(inputs={1: renumbered.astype(np.int64)})


@rule("Pad")
def pad(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Pad.html; constant padding adds entries that stay."""
    taken = names(len(op.shape(0)))
    given = list(taken)
    for axis, (before, after) in _pads(op).items():
        if before == after == 0:
            continue
        if op.attr("mode", "constant") == "constant" and before >= 0 and after >= 0:
            parts = [
                *([str(before)] if before else []),
                taken[axis],
                *([str(after)] if after else []),
            ]
            given[axis] = f"({' + '.join(parts)})"
        else:
            taken[axis] = given[axis] = "_"
    return Rule(
        f"{' '.join(taken)} -> {' '.join(given)}",
        reason="what padding adds stays, and so does what it mirrors or crops",
    )


def _pads(op: Op) -> dict[int, tuple[int, int]]:
    """Axis -> how much is added before and after."""
    pads = op.numbers("pads", 1, 11)
    if pads is None:
        raise Unknown("its amounts are missing")
    rank = len(op.shape(0))
    axes = [axis % rank for axis in (op.ints(3) or range(rank))]
    half = len(pads) // 2
    return dict(zip(axes, zip(pads[:half], pads[half:], strict=True), strict=True))
