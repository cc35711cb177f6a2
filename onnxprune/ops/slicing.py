"""Operators that take a part of an axis, or add to its ends."""

from __future__ import annotations

import numpy as np

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.patch import Kept, Patch, remaining, renumbered
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op, Unknown

Bounds = tuple[int, int, int]


def _bounds(op: Op) -> list[tuple[int, Bounds | None]]:
    """For each operand of a Slice its axis and, where they are known, the (start, end, step)."""
    shape = op.shape(0)
    starts, ends = _written(op)
    axes = op.numbers("axes", 3, 10) or list(range(len(starts)))
    steps = op.numbers("steps", 4, 10) or [1] * len(starts)
    bounds: list[tuple[int, Bounds | None]] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = shape[axis % len(shape)].size
        known = start is not None and end is not None
        bounds.append((axis % len(shape), slice(start, end, step).indices(size) if known else None))
    return bounds


def _written(op: Op) -> tuple[list[int | None], list[int | None]]:
    """The starts and ends of a Slice as they stand in the model."""
    starts, ends = op.known("starts", 1, 10), op.known("ends", 2, 10)
    if starts is None or ends is None:
        raise Unknown("its bounds are missing")
    return starts, ends


@rule("Slice")
def slice_(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Slice.html."""
    shape, result, taken = op.shape(0), op.result(), names(len(op.shape(0)))
    given = list(taken)
    for axis, bounds in _bounds(op):
        if bounds == (0, shape[axis].size, 1) and result[axis] == shape[axis]:
            continue
        if bounds is None or shape[axis].dynamic or not range(*bounds):
            taken[axis] = given[axis] = "_"
        else:
            start, end, step = bounds
            stride = "" if step == 1 else f":{step}"
            given[axis] = f"{taken[axis]}[{start}:{'' if end < 0 else end}{stride}]"
    return Rule(
        f"{' '.join(taken)} -> {' '.join(given)}",
        reason="the part of this axis that it takes is computed while the model runs",
    )


@patch("Slice")
def slice_patch(op: Op, kept: Kept) -> Patch:
    """Bounds count what stays before them; where a step leaves some out, the rest is picked."""
    new: dict[str, dict[int, int]] = {"starts": {}, "ends": {}, "steps": {}}
    picks = {}
    for i, (axis, bounds) in enumerate(_bounds(op)):
        mask = None if op.shape(0)[axis].dynamic else kept.input(0, axis)
        if mask is None or bounds is None:
            continue
        start, end, step = bounds
        if step == 1:
            new["starts"][i], new["ends"][i] = int(mask[:start].sum()), int(mask[:end].sum())
        else:
            taken = np.arange(len(mask))[start : None if end < 0 else end : step]
            picks[axis] = remaining(taken, mask)
            new["starts"][i], new["ends"][i], new["steps"][i] = 0, len(picks[axis]), 1
    patch = Patch(picks={0: picks} if picks else {})
    for slot, name in enumerate(("starts", "ends", "steps")):
        patch |= renumbered(op, name, (1, 2, 4)[slot], 10, new[name])
    return patch


@rule("Pad")
def pad(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Pad.html; constants that it adds are alike."""
    taken = names(len(op.shape(0)))
    given = list(taken)
    constant = op.attr("mode", "constant") == "constant"
    for axis, (_, before, _, after) in _pads(op).items():
        if before == after == 0:
            continue
        if constant and before is not None and after is not None and min(before, after) >= 0:
            parts = [f"~{before}" if before else "", taken[axis], f"~{after}" if after else ""]
            given[axis] = f"({' + '.join(filter(None, parts))})"
        else:
            taken[axis] = given[axis] = "_"
    return Rule(
        f"{' '.join(taken)} -> {' '.join(given)}",
        reason="it mirrors or crops this axis, or the amounts are computed while the model runs",
    )


@patch("Pad")
def pad_patch(op: Op, kept: Kept) -> Patch:
    """The amounts become what stays of the padding."""
    new: dict[int, int] = {}
    for axis, (i, before, j, after) in _pads(op).items():
        mask = kept.output(0, axis)
        if mask is not None and before is not None and after is not None:
            new |= {i: int(mask[:before].sum()), j: int(mask[len(mask) - after :].sum())}
    return renumbered(op, "pads", 1, _since(op), new)


def _pads(op: Op) -> dict[int, tuple[int, int | None, int, int | None]]:
    """Axis -> position and value of the amount that is added before, and of the one after."""
    pads, rank = op.known("pads", 1, _since(op)), len(op.shape(0))
    axes = [axis % rank for axis in (op.ints(3) or range(rank))]
    if pads is None or len(pads) != 2 * len(axes):
        raise Unknown("how much it adds is missing")
    return {axis: (i, pads[i], len(axes) + i, pads[len(axes) + i]) for i, axis in enumerate(axes)}


def _since(op: Op) -> int:
    """The version of its domain since which a Pad has its amounts as an input."""
    return 1 if op.node.domain == "com.microsoft" else 11
