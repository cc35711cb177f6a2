"""Resampling: axes that keep their size pass, the others stay whole."""

from __future__ import annotations

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("Resize", "Upsample")
def resize(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Resize.html."""
    before, after = op.shape(0), op.result()
    rank = len(before)
    chosen = {axis % rank for axis in op.attr("axes", [0][:0])}
    if op.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        chosen = set(range(rank))
    terms = [
        name if i not in chosen and i < 2 and b == a else "_"
        for i, (name, b, a) in enumerate(zip(names(rank), before, after, strict=True))
    ]
    text = " ".join(terms)
    return Rule(
        f"{text} -> {text}",
        shape_inputs={} if chosen else {3: 0},
        reason="it is resampled along this axis",
    )
