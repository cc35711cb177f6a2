"""Small models, one for each way in which channels depend on each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from helpers import ints, proto

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {}


def small(function: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
    MODELS[function.__name__] = function
    return function


@small
def chain() -> onnx.ModelProto:
    return proto(
        """(float[N,3,8,8] x) => (float[N,1000] y) {
            c0 = Conv<pads=[1,1,1,1]>(x, "net.conv0.weight", "net.conv0.bias")
            r0 = Relu(c0)
            c1 = Conv<pads=[1,1,1,1]>(r0, "net.conv1.weight", "net.conv1.bias")
            p = GlobalAveragePool(c1)
            f = Flatten(p)
            y = Gemm<transB=1>(f, "head.weight", "head.bias")
        }""",
        "net.conv0.weight 8 3 3 3, net.conv0.bias 8, net.conv1.weight 16 8 3 3, "
        "net.conv1.bias 16, head.weight 1000 16, head.bias 1000",
    )


@small
def residual() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            r = Relu(a)
            b = Conv<pads=[1,1,1,1]>(r, w1, b1)
            s = Add(a, b)
            y = Conv(s, w2)
        }""",
        "w0 8 3 1 1, b0 8, w1 8 8 3 3, b1 8, w2 2 8 1 1",
    )


@small
def concat() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            b = Conv(x, w1)
            c = Concat<axis=1>(a, b, a)
            n = BatchNormalization(c, scale, bias, mean, var)
            y = Conv(n, w2)
        }""",
        "w0 4 3 1 1, w1 6 3 1 1, scale 14, bias 14, mean 14, w2 2 14 1 1",
        var=np.linspace(0.5, 2, 14, dtype=np.float32),
    )


@small
def unequal_concats() -> onnx.ModelProto:
    """Two concatenations with different boundaries are added."""
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            b = Conv(x, w1)
            c = Conv(x, w2)
            d = Conv(x, w3)
            e = Conv(x, w4)
            l = Concat<axis=1>(a, b, c)
            r = Concat<axis=1>(d, e)
            s = Add(l, r)
            y = Conv(s, w5)
        }""",
        "w0 2 3 1 1, w1 4 3 1 1, w2 2 3 1 1, w3 5 3 1 1, w4 3 3 1 1, w5 2 8 1 1",
    )


@small
def grouped() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            g = Conv<group=4>(a, w1, b1)
            d = Conv<group=12, pads=[1,1,1,1]>(g, w2, b2)
            y = Conv(d, w3)
        }""",
        "w0 8 3 1 1, b0 8, w1 12 2 1 1, b1 12, w2 12 1 3 3, b2 12, w3 2 12 1 1",
    )


@small
def transposed() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,12,12] y) {
            a = Conv(x, w0)
            t = ConvTranspose<group=2, strides=[2,2]>(a, w1, b1)
            l = LeakyRelu(t)
            y = Conv(l, w2)
        }""",
        "w0 8 3 1 1, w1 8 3 2 2, b1 6, w2 2 6 1 1",
    )


@small
def flatten() -> onnx.ModelProto:
    return proto(
        """(float[N,3,4,4] x) => (float[N,5] y) {
            a = Conv(x, w0, b0)
            p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
            f = Flatten(p)
            y = Gemm(f, w1, b1)
        }""",
        "w0 8 3 1 1, b0 8, w1 32 5, b1 5",
    )


@small
def squeeze_excite() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            p = GlobalAveragePool(a)
            r = Conv(p, w1, b1)
            q = Relu(r)
            e = Conv(q, w2, b2)
            g = HardSigmoid(e)
            m = Mul(a, g)
            y = Conv(m, w3)
        }""",
        "w0 8 3 1 1, b0 8, w1 4 8 1 1, b1 4, w2 8 4 1 1, b2 8, w3 2 8 1 1",
    )


@small
def linear() -> onnx.ModelProto:
    return proto(
        """(float[N,S,6] x) => (float[N,S,5] y) {
            a = MatMul(x, w0)
            b = Add(b0, a)
            g = Gelu(b)
            c = MatMul(g, w1)
            y = Add(c, b1)
        }""",
        "w0 6 12, b0 12, w1 12 5, b1 5",
    )


@small
def tied() -> onnx.ModelProto:
    """One weight in two places ties their channels."""
    return proto(
        """(float[N,6] x) => (float[N,6] y) {
            a = Gemm(x, w0)
            b = Relu(a)
            c = Gemm<transB=1>(b, w1)
            d = Gemm(c, w1)
            e = Relu(d)
            y = Gemm<transB=1>(e, w0)
        }""",
        "w0 6 8, w1 7 8",
    )


@small
def barred_operator() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            b = Conv(a, w1)
            u = LRN<size=3>(b)
            c = Conv(u, w2)
            y = Conv(c, w3)
        }""",
        "w0 8 3 1 1, w1 6 8 1 1, w2 4 6 1 1, w3 2 4 1 1",
    )


@small
def gather_channels() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            g = Gather<axis=1>(a, i)
            y = Conv(g, w1)
        }""",
        "w0 8 3 1 1, w1 2 6 1 1",
        i=ints(7, 0, -4, 3, 3, 5),
    )


@small
def split_channels() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            p, q, r = Split<axis=1>(a, s)
            u = Mul(p, r)
            c = Concat<axis=1>(q, u)
            y = Conv(c, w1)
        }""",
        "w0 12 3 1 1, w1 2 8 1 1",
        s=ints(4, 4, 4),
    )


@small
def slice_channels() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,5,6] y) {
            a = Conv(x, w0)
            p = Slice(a, s0, e0, ax)
            q = Slice(a, s1, e1, ax)
            u = Mul(p, q)
            y = Conv(u, w1)
        }""",
        "w0 8 3 1 1, w1 2 4 1 1",
        s0=ints(0, 1),
        e0=ints(4, 2**62),
        s1=ints(-4, 0),
        e1=ints(8, 5),
        ax=ints(1, -2),
    )


@small
def pad_channels() -> onnx.ModelProto:
    return proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            p = Pad(a, pads)
            b = Conv(p, w1)
            s = Add(b, p)
            y = Conv(s, w2)
        }""",
        "w0 4 3 1 1, w1 7 7 1 1, w2 2 7 1 1",
        pads=ints(0, 2, 0, 0, 0, 1, 0, 0),
    )


@small
def shuffle() -> onnx.ModelProto:
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            r = Reshape(a, s0)
            t = Transpose<perm=[0,2,1,3,4]>(r)
            f = Reshape(t, s1)
            y = Conv(f, w1)
        }""",
        "w0 12 3 1 1, w1 2 12 1 1",
        s0=ints(-1, 3, 4, 4, 4),
        s1=ints(0, 12, 4, 4),
    )
