"""Sizes as numbers. They keep the original model's values: what is computed from them, such as
the square root of a head's size, must not change when the tensor shrinks."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Rule
from onnxprune.ops.patch import Kept, Overlay, Patch
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.view import Op


@rule("Shape")
def shape(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Shape.html; the elements themselves are not read."""
    return Rule(f"{' '.join('~' * len(op.shape(0)))} -> _", reason="its elements are sizes")


@patch("Shape")
def shape_patch(op: Op, kept: Kept) -> Patch:
    """The sizes that shrank are pinned to what they were."""
    rank = len(op.shape(0))
    start, end, _ = slice(op.attr("start", 0), op.attr("end", rank)).indices(rank)
    whole = kept.restored(0)
    return Patch(
        outputs={
            0: Overlay(
                end - start,
                {i - start: n for i, n in whole.fixed.items() if start <= i < end},
                {i - start: n for i, n in whole.scaled.items() if start <= i < end},
            )
        }
    )


@rule("Size")
def size(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Size.html; known beforehand unless a size is dynamic."""
    dynamic = any(dim.dynamic for dim in op.shape(0))
    axes = " ".join(("_" if dynamic else "~") * len(op.shape(0)))
    return Rule(f"{axes} ->", reason="the number of elements is computed while the model runs")


@patch("Size")
def size_patch(op: Op, kept: Kept) -> Patch:
    """The number of elements is pinned to what it was."""
    if not kept.restored(0):
        return Patch()
    return Patch(outputs={0: Overlay(None, {0: math.prod(dim.size for dim in op.shape(0))})})
