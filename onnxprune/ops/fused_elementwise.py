"""onnxruntime's element-wise operators, and those that only move entries.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, and for those without
a domain the experimental operators that ONNX had before opset 10.
"""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.elementwise import dropout, elementwise
from onnxprune.ops.ordered import trilu
from onnxprune.ops.picking import gather_nd, gather_nd_patch
from onnxprune.ops.registry import patch, rule
from onnxprune.ops.slicing import pad, pad_patch
from onnxprune.ops.view import Op
from onnxprune.ops.vision import grid_sample

rule(
    *("com.microsoft::BiasAdd", "com.microsoft::BiasGelu", "com.microsoft::FastGelu"),
    *("com.microsoft::Gelu", "com.microsoft::MurmurHash3", "com.microsoft::QuickGelu"),
    *("Affine", "MemcpyFromHost", "MemcpyToHost", "ParametricSoftplus", "Scale", "ScaledTanh"),
    "ai.onnx.ml::Binarizer",
)(elementwise)
rule("com.microsoft::Trilu")(trilu)
rule("com.microsoft::GatherND")(gather_nd)
patch("com.microsoft::GatherND")(gather_nd_patch)
rule("com.microsoft::GridSample")(grid_sample)
rule("com.microsoft::Pad")(pad)
patch("com.microsoft::Pad")(pad_patch)


@rule("com.microsoft::BiasSplitGelu")
def bias_split_gelu(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.BiasSplitGelu; one half of the channels gates the other."""
    axes = " ".join(names(len(op.shape(0)) - 1))
    return Rule(f"{axes} (2 x), (2 x) -> {axes} x")


@rule("com.microsoft::BiasDropout", "com.microsoft::BitmaskBiasDropout")
def bias_dropout(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.BiasDropout."""
    if op.has(4) and op.ints(4) != [0]:
        return Barred("it runs in training mode, where it drops entries at random")
    operands, result = broadcast(op.shapes()[:3])
    count = 1 if op.type == "BitmaskBiasDropout" else len(op.node.outputs)
    if op.used(count):
        return Barred("its mask has a bit for each entry, many of them in a number")
    return Rule(
        f"{', '.join(operands)} -> {', '.join([result] * count)}",
        reason="one of its sizes may be 1 at run time",
    )


@rule("com.microsoft::BitmaskDropout")
def bitmask_dropout(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.BitmaskDropout."""
    if op.used(1):
        return Barred("its mask has a bit for each entry, many of them in a number")
    return dropout(op)


@rule("com.microsoft::ExpandDims")
def expand_dims(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.ExpandDims."""
    axes, place = names(len(op.shape(0))), op.ints(1)
    if place is None or len(place) != 1:
        return Barred("it has no axis")
    at = place[0] % (len(axes) + 1)
    return Rule(f"{' '.join(axes)} -> {' '.join([*axes[:at], '1', *axes[at:]])}")


@rule("com.microsoft::Inverse")
def inverse(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.Inverse."""
    batch = " ".join([*names(len(op.shape(0)) - 2), "_", "_"])
    return Rule(f"{batch} -> {batch}", reason="an inverse needs the whole matrix")


@rule("com.microsoft::NhwcMaxPool")
def channels_last_pool(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.NhwcMaxPool."""
    return Rule("n ... c -> n ... c")


@rule("com.microsoft::MaxpoolWithMask")
def masked_pool(op: Op) -> Rule | Barred:
    """ContribOperators.md#com.microsoft.MaxpoolWithMask."""
    if any(d.dynamic or d.size != 1 for d in op.shape(1)[:2]):
        return Barred("it reads the masks of several channels in an order of its own")
    return Rule("n c ..., 1 1 ... -> n c ...")


@rule("com.microsoft::CropAndResize")
def crop_and_resize(op: Op) -> Rule:
    """ContribOperators.md#com.microsoft.CropAndResize."""
    return Rule("_ c ..., r _, r, _ -> r c ...", reason="each region says which image it is of")


@rule("Crop")
def crop(op: Op) -> Rule:
    """An experimental operator of ONNX, by attributes only: it cuts off a border of pixels."""
    return Rule("n c ... -> n c ...")
