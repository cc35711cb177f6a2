"""Operators that sample images, or regions of them; every channel by itself."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("GridSample")
def grid_sample(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__GridSample.html."""
    grid = " ".join(names(len(op.shape(1)) - 2, "s"))
    return Rule(f"n c ..., n {grid} _ -> n c {grid}", reason="it holds the coordinates of a point")


@rule("RoiAlign")
def roi_align(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__RoiAlign.html."""
    return Rule("_ c ..., r _, r -> r c ...", reason="each region says which image it is of")


@rule("MaxRoiPool")
def max_roi_pool(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html."""
    return Rule("_ c ..., r _ -> r c ...", reason="each region says which image it is of")


@rule("Col2Im")
def col2im(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Col2Im.html; the block is the minor part of an axis."""
    block = op.ints(2)
    if not block or min(block) < 1:
        return Barred("the size of its block is missing")
    return Rule(
        f"n (c {math.prod(block)}) _ -> n c ...",
        reason="it joins the blocks along this axis to images",
    )


@rule("CenterCropPad")
def center_crop_pad(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__CenterCropPad.html."""
    rank = len(op.shape(0))
    moved = {axis % rank for axis in op.attr("axes", list(range(rank)))}
    axes = " ".join("_" if i in moved else name for i, name in enumerate(names(rank)))
    return Rule(f"{axes} -> {axes}", reason="it crops or pads this axis to a given size")
