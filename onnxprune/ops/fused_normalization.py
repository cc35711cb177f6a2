"""onnxruntime's normalisations: a sum, an embedding or an activation is fused into them.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.normalization import layer_normalization
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op

rule("SimplifiedLayerNormalization")(layer_normalization)


@rule("com.microsoft::SkipLayerNormalization", "com.microsoft::SkipSimplifiedLayerNormalization")
def skip_layer_normalization(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.SkipLayerNormalization; the last result is the sum."""
    (x, skip), total = broadcast([op.shape(0), op.shape(1)])
    *leading, last = total.split()
    marked = last if last in "_1" else f"{last}!"
    operands = [x, skip, *[marked] * (len(op.node.inputs) - 2)]
    statistics = " ".join([*leading, "1"])
    results = [total, statistics, statistics, total]
    return Rule(
        f"{', '.join(operands)} -> {', '.join(results[: len(op.node.outputs)])}",
        reason="one of its sizes may be 1 at run time",
    )


@rule("com.microsoft::EmbedLayerNormalization")
def embed_layer_normalization(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.EmbedLayerNormalization; the last result is the sum."""
    results = ["_ _ h", "_", "_ _ h"][: len(op.node.outputs)]
    return Rule(
        f"_ _, _ _, _ h!, _ h!, _ h!, h, h -> {', '.join(results)}",
        reason="it picks rows of its tables by number and position",
    )


@rule("com.microsoft::GroupNorm", "com.microsoft::SkipGroupNorm")
def group_norm(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.SkipGroupNorm; channels come last unless it says not."""
    spatial = names(len(op.shape(0)) - 2, "s")
    marked = [f"{axis}!" for axis in spatial]
    last = op.attr("channels_last", 1)
    x = _image(["n", *marked], "(g c!)", last)
    y = _image(["n", *spatial], "(g c)", last)
    operands = [x, "(g c)", "(g c)"]
    if op.has(3):
        operands.append(_skip(op, spatial))
    if op.has(4):
        operands.append("(g c)")
    return Rule(
        f"{', '.join(operands)} -> {', '.join([y] * len(op.node.outputs))}",
        sizes={"g": op.attr("groups", 0)},
        attributes={"groups": "g"},
    )


def _image(others: list[str], channels: str, last: int) -> str:
    return " ".join([*others, channels] if last else [others[0], channels, *others[1:]])


def _skip(op: Op, spatial: list[str]) -> str:
    """What is added before: an image, or a number for each channel of each image."""
    shape, last = op.shape(3), op.attr("channels_last", 1)
    if len(shape) == 2:
        return "n (g c)"
    whole = shape[1:-1] if last else shape[2:]
    alike = ["1" if d.size == 1 else axis for axis, d in zip(spatial, whole, strict=True)]
    return _image(["n", *alike], "(g c)", last)


@rule("ai.onnx.ml::Normalizer")
def normalizer(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html; a vector is a single row."""
    rows = names(len(op.shape(0)) - 1, "n")
    if len(rows) > 1:
        return Barred("it is defined for rows only")
    return Rule(f"{' '.join([*rows, 'c!'])} -> {' '.join([*rows, 'c'])}")
