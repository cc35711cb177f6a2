"""One small model for each operator whose channels are neither all alike nor all barred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from helpers import ints, proto


@dataclass(frozen=True)
class Small:
    """A model and the units that it must have.

    Attributes:
        text: The nodes between a convolution of x to 8 channels, `a`, and one of `m` to y.
        units: The names of its mutable units.
        shapes: Weights beside w0 (8 3 1 1).
        weights: More weights.
        opset: The version of the operator set.
        exact: Whether no statistic runs over pruned axes, so that zeros can stand for them.
        inputs: More inputs of the model.
        size: The height and width of x.
    """

    text: str
    units: tuple[str, ...]
    shapes: str = "w1 2 8 1 1"
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    opset: int = 21
    exact: bool = True
    inputs: str = ""
    size: int = 4

    def build(self) -> onnx.ModelProto:
        """The model."""
        text = f"a = Conv(x, w0) {self.text}"
        if " y = " not in text:
            text += " y = Conv(m, w1)"
        signature = f"(float[N,3,{self.size},{self.size}] x{self.inputs}) => (float[N,2,P,Q] y)"
        shapes = f"w0 8 3 1 1, {self.shapes}"
        return proto(f"{signature} {{ {text} }}", shapes, self.opset, **self.weights)


def floats(*numbers: float) -> np.ndarray:
    """A vector of float32."""
    return np.array(numbers, np.float32)


ALL = ("Conv_0_(0, 8)_8",)

SMALL = {
    # a part of an axis
    "every other channel": Small(
        "m = Slice(a, s, e, ax, st)",
        ("Conv_0_(0, 7)_4", "Conv_0_(1, 8)_4"),
        "w1 2 4 1 1",
        {"s": ints(1), "e": ints(2**62), "ax": ints(1), "st": ints(2)},
    ),
    "reversed channels": Small(
        "r = Slice(a, s, e, ax, st) m = Concat<axis=1>(a, r)",
        ALL,
        "w1 2 16 1 1",
        {"s": ints(-1), "e": ints(-(2**62)), "ax": ints(1), "st": ints(-1)},
    ),
    "strides in the image and a run of channels": Small(
        "m = Slice(a, s, e, ax, st)",
        ("Conv_0_(0, 8)_3", "Conv_0_(1, 6)_5"),
        "w1 2 5 1 1",
        {"s": ints(0, 3, 1), "e": ints(4, -5, 6), "ax": ints(2, 3, 1), "st": ints(2, -1, 1)},
    ),
    "a bound that moves": Small(
        "sh = Shape<start=2, end=3>(i) e = Concat<axis=0>(six, sh) m = Slice(a, z, e, ax)",
        ("Conv_0_(6, 8)_2", "Conv_0_(0, 6)_6"),
        "w1 2 6 1 1",
        {"six": ints(6), "z": ints(0, 0), "ax": ints(1, 2)},
        inputs=", float[N,1,K] i",
    ),
    "one channel by its number": Small(
        "r = Gather<axis=1>(a, i) u = Unsqueeze(r, one) m = Mul(a, u)",
        ("Conv_0_(0, 8)_7",),
        weights={"i": np.array(-5), "one": ints(1)},
    ),
    # copies
    "a shortcut padded with zeros": Small(
        "p = Pad(a, pads) b = Conv(a, w2) m = Add(p, b)",
        ("Conv_0_(0, 8)_8", "Conv_2_(0, 12)_4"),
        "w2 12 8 1 1, w1 2 12 1 1",
        {"pads": ints(0, 2, 0, 0, 0, 2, 0, 0)},
    ),
    "a shortcut padded with one channel": Small(
        "p = Pad<pads=[0,1,0,0,0,0,0,0]>(a) b = Conv(a, w2) m = Add(p, b)",
        ("Conv_0_(0, 8)_8",),
        "w2 9 8 1 1, w1 2 9 1 1",
        opset=10,
    ),
    "a shortcut joined with zeros": Small(
        """sh = Shape<start=0, end=1>(a) s = Concat<axis=0>(sh, rest) z = ConstantOfShape(s)
        c = Concat<axis=1>(a, z) b = Conv(a, w2) m = Add(c, b)""",
        ("Conv_0_(0, 8)_8", "Conv_5_(8, 12)_4"),
        "w2 12 8 1 1, w1 2 12 1 1",
        {"rest": ints(4, 4, 4)},
    ),
    "padding that mirrors": Small(
        'm = Pad<mode="reflect">(a, pads)', ALL, weights={"pads": ints(0, 0, 1, 1, 0, 0, 2, 1)}
    ),
    "one channel expanded to many": Small(
        "g = Conv(a, w2) e = Expand(g, s) b = Conv(a, w3) m = Mul(e, b)",
        ("Conv_0_(0, 8)_8", "Conv_3_(0, 6)_6"),
        "w2 1 8 1 1, w3 6 8 1 1, w1 2 6 1 1",
        {"s": ints(6, 1, 1)},
    ),
    "one channel tiled to many": Small(
        "g = Conv(a, w2) e = Tile(g, s) b = Conv(a, w3) m = Mul(e, b)",
        ("Conv_0_(0, 8)_8", "Conv_3_(0, 6)_6"),
        "w2 1 8 1 1, w3 6 8 1 1, w1 2 6 1 1",
        {"s": ints(1, 6, 1, 1)},
    ),
    "channels tiled": Small(
        "t = Tile(a, s) b = Conv(x, w2) m = Mul(t, b)",
        ("Conv_0_(0, 8)_8", "Conv_2_(0, 24)_3"),
        "w2 24 3 1 1, w1 2 24 1 1",
        {"s": ints(1, 3, 1, 1)},
    ),
    "images tiled": Small("m = Tile(a, s)", ALL, weights={"s": ints(1, 1, 2, 3)}),
    "copies that are summed": Small(
        """g = Conv(a, w2) e = Expand(g, s) b = Conv(a, w3) p = Mul(e, b)
        r = ReduceSum(e, one) m = Add(p, r)""",
        ("Conv_0_(0, 8)_8",),
        "w2 1 8 1 1, w3 6 8 1 1, w1 2 6 1 1",
        {"s": ints(6, 1, 1), "one": ints(1)},
    ),
    # blocks of pixels
    "depth to space": Small("m = DepthToSpace<blocksize=2>(a)", ("Conv_0_(0, 8)_2",), "w1 2 2 1 1"),
    "depth to space, channels major": Small(
        'm = DepthToSpace<blocksize=2, mode="CRD">(a)', ("Conv_0_(0, 8)_2",), "w1 2 2 1 1"
    ),
    "space to depth": Small("m = SpaceToDepth<blocksize=2>(a)", ALL, "w1 2 32 1 1"),
    "columns to image": Small(
        "f = Reshape(a, s) c = Col2Im<strides=[2,2]>(f, im, bl) m = Relu(c)",
        ("Conv_0_(0, 8)_2",),
        "w1 2 2 1 1",
        {"s": ints(0, 8, 16), "im": ints(8, 8), "bl": ints(2, 2)},
    ),
    # normalisation
    "group normalization": Small(
        "m = GroupNormalization<num_groups=4>(a, s, b)",
        ("Conv_0_(0, 8)_4", "Conv_0_(0, 8)_2"),
        "w1 2 8 1 1, s 8, b 8",
        exact=False,
    ),
    "group normalization, scaled by group": Small(
        "m = GroupNormalization<num_groups=4>(a, s, b)",
        ("Conv_0_(0, 8)_4", "Conv_0_(0, 8)_2"),
        "w1 2 8 1 1, s 4, b 4",
        opset=18,
        exact=False,
    ),
    "group normalization as it is exported": Small(
        "r = Reshape(a, s0) i = InstanceNormalization(r, s, b) m = Reshape(i, s1)",
        ("Conv_0_(0, 8)_4", "Conv_0_(0, 8)_2"),
        "w1 2 8 1 1, s 4, b 4",
        {"s0": ints(0, 4, -1), "s1": ints(0, 8, 4, 4)},
        exact=False,
    ),
    "mean and variance over the image": Small(
        "m = MeanVarianceNormalization<axes=[2,3]>(a)", ALL, opset=13, exact=False
    ),
    "mean and variance over the channels": Small(
        "m = MeanVarianceNormalization<axes=[1,2,3]>(a)", ALL, opset=13, exact=False
    ),
    "a window of channels": Small("m = LRN<size=3>(a)", ()),
    "pooled tokens": Small(
        "f = Reshape(a, s) t = Transpose<perm=[0,2,1]>(f) p = GlobalAveragePool(t) "
        "g = Mul(f, k) m = Reshape(g, b) q = Mul(m, m) y = Conv(q, w1)",
        ALL,
        weights={"s": ints(0, 8, 16), "b": ints(0, 8, 4, 4), "k": floats(2)},
        exact=False,
    ),
    # order and position
    "the largest channel": Small("i = ArgMax<axis=1>(a) f = Cast<to=1>(i) m = Mul(a, f)", ()),
    "the largest pixel": Small("i = ArgMax<axis=2>(a) f = Cast<to=1>(i) m = Mul(a, f)", ALL),
    "the best channels": Small("m, i = TopK<axis=1>(a, k)", (), "w1 2 3 1 1", {"k": ints(3)}),
    "the best pixels": Small("m, i = TopK(a, k)", ALL, weights={"k": ints(3)}),
    "running sums of pixels": Small("m = CumSum(a, ax)", ALL, weights={"ax": np.array(-1)}),
    "running sums of channels": Small("m = CumSum(a, ax)", (), weights={"ax": np.array(1)}),
    "triangles": Small("m = Trilu<upper=0>(a)", ALL),
    "hard maximum of pixels": Small("h = Hardmax(a) m = Mul(a, h)", ALL),
    "hard maximum of channels": Small("h = Hardmax<axis=1>(a) m = Mul(a, h)", ()),
    "compressed pixels": Small(
        "m = Compress<axis=2>(a, c)", ALL, weights={"c": np.array([True, False, True])}
    ),
    "a largest pixel by its number": Small(
        "p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a) "
        "m = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(p, i)",
        (),
    ),
    "the largest pixels": Small("p = MaxPool<kernel_shape=[2,2]>(a) m = Relu(p)", ALL),
    # positions that are tensors
    "gathered channels": Small(
        "t = Transpose<perm=[1,0,2,3]>(a) g = GatherND(t, i) m = Transpose<perm=[1,0,2,3]>(g)",
        ALL,
        weights={"i": np.arange(-1, 7).reshape(8, 1)},
    ),
    "gathered elements of all channels alike": Small(
        "m = GatherElements<axis=3>(a, i)", ALL, weights={"i": np.tile([3, 1, 0, 3], (2, 8, 4, 1))}
    ),
    "gathered elements of each channel": Small(
        "m = GatherElements<axis=3>(a, i)",
        (),
        weights={"i": np.arange(8).reshape(1, 8, 1, 1) % 4 * np.ones((2, 8, 4, 4), np.int64)},
    ),
    "scattered elements of all channels alike": Small(
        "m = ScatterElements<axis=3>(a, i, u)",
        ALL,
        "w1 2 8 1 1, u 1 8 4 2",
        {"i": np.tile([3, 1], (1, 8, 4, 1))},
    ),
    "gathered images": Small(
        "g = GatherND(a, i) m = Add(g, g)", ALL, weights={"i": np.array([[0], [1], [1]])}
    ),
    "scattered images": Small(
        "m = ScatterND(a, i, u)",
        ALL,
        "w1 2 8 1 1, u 1 8 4 4",
        {"i": np.array([[1]])},
    ),
    "scattered pixels": Small(
        "v, j = TopK(a, k) m = ScatterElements<axis=3>(a, j, v)", ALL, weights={"k": ints(2)}
    ),
    "gathered elements": Small(
        "v, j = TopK(a, k) m = GatherElements<axis=3>(a, j)", ALL, weights={"k": ints(2)}
    ),
    # sampling
    "sampled on a grid": Small("m = GridSample(a, g)", ALL, inputs=", float[N,3,5,2] g"),
    "aligned regions": Small(
        "r = RoiAlign<output_height=2, output_width=2>(a, rois, b) m = Relu(r)",
        ALL,
        weights={"rois": np.array([[0, 0, 2, 3], [1, 1, 3, 3]], np.float32), "b": ints(0, 1)},
    ),
    "pooled regions": Small(
        "r = MaxRoiPool<pooled_shape=[2,2]>(a, rois) m = Relu(r)",
        ALL,
        weights={"rois": np.array([[0, 0, 0, 2, 3], [1, 1, 1, 3, 3]], np.float32)},
    ),
    "resized, opset 10": Small(
        "m = Resize(a, k)", ALL, opset=10, weights={"k": floats(1, 1, 2, 1.5)}
    ),
    "upsampled, opset 7": Small("m = Upsample<scales=[1.0,1.0,2.0,2.0]>(a)", ALL, opset=7),
    "upsampled, opset 9": Small(
        "m = Upsample(a, k)", ALL, opset=9, weights={"k": floats(1, 1, 2, 2)}
    ),
    "resized along named axes": Small(
        "m = Resize<axes=[3,2]>(a, , , k)", ALL, weights={"k": ints(5, 7)}
    ),
    "resized channels": Small("m = Resize(a, , k)", (), "w1 2 16 1 1", {"k": floats(1, 2, 1, 1)}),
    "channels last, resized": Small(
        """t = Transpose<perm=[0,2,3,1]>(a) r = Resize(t, , k)
        m = Transpose<perm=[0,3,1,2]>(r)""",
        ALL,
        weights={"k": floats(1, 2, 2, 1)},
    ),
    # sums of products
    "a convolution as an einsum": Small(
        'e = Einsum<equation="nchw,oc->nohw">(a, w2) m = Relu(e)',
        ("Conv_0_(0, 8)_8", "Einsum_1_(0, 6)_6"),
        "w2 6 8, w1 2 6 1 1",
    ),
    "a gate as an einsum": Small(
        'g = GlobalAveragePool(a) e = Einsum<equation="bc..., bcij -> bc...">(a, g) m = Relu(e)',
        ALL,
    ),
    "a trace": Small(
        'g = MatMul(a, k) t = Einsum<equation="ncii->nc">(g) r = Reshape(t, s) m = Mul(a, r)',
        ALL,
        "w1 2 8 1 1, k 4 4",
        {"s": ints(0, 8, 1, 1)},
    ),
    # convolution with offsets
    "deformable convolution": Small(
        "d = DeformConv<pads=[1,1,1,1]>(a, w2, o) m = Relu(d)",
        ("Conv_0_(0, 8)_8", "DeformConv_1_(0, 6)_6"),
        "w2 6 8 3 3, w1 2 6 1 1",
        inputs=", float[N,18,4,4] o",
    ),
    "deformable convolution with two fields": Small(
        "o = Conv(x, w3) d = DeformConv<pads=[1,1,1,1], offset_group=2>(a, w2, o) m = Relu(d)",
        ("Conv_0_(0, 8)_2", "Conv_0_(0, 8)_4", "DeformConv_2_(0, 6)_6"),
        "w3 36 3 1 1, w2 6 8 3 3, w1 2 6 1 1",
    ),
    "deformable convolution in groups": Small(
        "d = DeformConv<pads=[1,1,1,1], group=2>(a, w2, o) m = Relu(d)",
        ("Conv_0_(0, 8)_2", "Conv_0_(0, 8)_4", "DeformConv_1_(0, 6)_3"),
        "w2 6 4 3 3, w1 2 6 1 1",
        inputs=", float[N,18,4,4] o",
    ),
    # one by one
    "dropout and its mask": Small("d, k = Dropout(a) f = Cast<to=1>(k) m = Mul(d, f)", ALL),
    "slopes of channels": Small("m = PRelu(a, s)", ALL, "w1 2 8 1 1, s 8 1 1"),
}
