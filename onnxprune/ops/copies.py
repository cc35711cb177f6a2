"""Operators that fill an axis with copies, as many as they are asked for."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.patch import Kept, Overlay, Patch
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op

_REASON = "how many copies it makes along this axis is computed while the model runs"


@rule("Expand")
def expand(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Expand.html."""
    result = op.result()
    if op.shape(1)[0].dynamic:
        return Barred("the number of axes it asks for is computed while the model runs")
    (taken, given), _ = broadcast([op.shape(0), result])
    padded = ["1"] * (len(result) - len(op.shape(0))) + taken.split()
    right = [
        g if t == g else "~" if t == "1" else "_"
        for t, g in zip(padded, given.split(), strict=True)
    ]
    return Rule(f"{taken} -> {' '.join(right)}", shape_inputs={1: 0}, reason=_REASON)


@rule("ConstantOfShape")
def constant_of_shape(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html."""
    return Rule(f"_ -> {' '.join('~' * len(op.result()))}", shape_inputs={0: 0}, reason=_REASON)


@rule("Tile")
def tile(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Tile.html; the copies are major."""
    repeats = op.known("repeats", 1, 6) or []
    taken, given = names(len(op.shape(0))), []
    for i, (name, dim, count) in enumerate(zip(taken, op.shape(0), repeats, strict=True)):
        if count == 1 or dim.size == 1:
            given.append(name if count == 1 else "~")
            taken[i] = name if count == 1 else "1"
        elif count is None:
            taken[i] = "_"
            given.append("_")
        else:
            given.append(f"(~ {name})")
    return Rule(f"{' '.join(taken)}, _ -> {' '.join(given)}", reason=_REASON)


@patch("Tile")
def tile_patch(op: Op, kept: Kept) -> Patch:
    """The repeats become what stays of the copies."""
    fixed = {}
    for i, dim in enumerate(op.shape(0)):
        whole, part = kept.output(0, i), kept.input(0, i)
        if whole is not None and not op.result()[i].dynamic:
            entries = dim.size if part is None else int(part.sum())
            repeats = int(whole.sum()) // entries
            if repeats * dim.size != len(whole):
                fixed[i] = repeats
    return Patch(inputs={1: Overlay(len(op.shape(0)), fixed)} if fixed else {})
