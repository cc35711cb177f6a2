"""Resampling: axes that are not resampled pass, the others stay whole."""

from __future__ import annotations

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule("Resize", "Upsample")
def resize(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Resize.html."""
    before, after = op.shape(0), op.result()
    axes, moved = names(len(before)), _moved(op)
    terms = [
        "_" if i in moved or b != a else axis
        for i, (axis, b, a) in enumerate(zip(axes, before, after, strict=True))
    ]
    text = " ".join(terms)
    return Rule(
        f"{text} -> {text}",
        shape_inputs={3: 0} if op.type == "Resize" and "axes" not in op.node.attributes else {},
        reason="it is resampled along this axis",
    )


def _moved(op: Op) -> set[int]:
    """The axes that are resampled, even if their size stays the same."""
    before, after = op.shape(0), op.result()
    everything = set(range(len(before)))
    if op.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return everything
    if "axes" in op.node.attributes:
        return {axis % len(before) for axis in op.attr("axes", [0])}
    if op.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        return everything
    if op.has(3):
        return {i for i in everything if before[i] != after[i]}
    scales = op.floats("scales", 2 if op.type == "Resize" and op.version >= 11 else 1)
    return {i for i, scale in enumerate(scales) if scale != 1}
