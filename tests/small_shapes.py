"""Small models that compute with shapes while they run, or that change them."""

from __future__ import annotations

import numpy as np
import onnx
from helpers import ints, proto
from small import small

ATTENTION = """(float[N,S,6] x) => (float[N,S,6] y) {
    q0 = MatMul(x, wq)
    q1 = Add(q0, bq)
    k0 = MatMul(x, wk)
    v0 = MatMul(x, wv)
    shape = Shape(x)
    n = Gather(shape, zero)
    s = Gather(shape, one)
    n1 = Unsqueeze(n, axis0)
    s1 = Unsqueeze(s, axis0)
    split = Concat<axis=0>(n1, s1, heads, minus)
    q2 = Reshape(q1, split)
    k2 = Reshape(k0, split)
    v2 = Reshape(v0, split)
    q = Transpose<perm=[0,2,1,3]>(q2)
    k = Transpose<perm=[0,2,3,1]>(k2)
    v = Transpose<perm=[0,2,1,3]>(v2)
    a0 = MatMul(q, k)
    kshape = Shape(q)
    d0 = Gather(kshape, three)
    d = Cast<to=1>(d0)
    root = Sqrt(d)
    a1 = Div(a0, root)
    a2 = Softmax<axis=-1>(a1)
    o0 = MatMul(a2, v)
    o1 = Transpose<perm=[0,2,1,3]>(o0)
    joined = Concat<axis=0>(n1, s1, minus)
    o2 = Reshape(o1, joined)
    o = MatMul(o2, wo)
    y = Add(o, x)
}"""


@small
def attention() -> onnx.ModelProto:
    """Four heads of size 3 as the exporters write them; the size of a head is read at run time."""
    return proto(
        ATTENTION,
        "wq 6 12, bq 12, wk 6 12, wv 6 12, wo 12 6",
        zero=np.array(0),
        one=np.array(1),
        three=np.array(3),
        axis0=ints(0),
        heads=ints(4),
        minus=ints(-1),
    )


@small
def merged_heads() -> onnx.ModelProto:
    """The heads are merged with a dynamic batch, as torch's legacy attention does."""
    return proto(
        """(float[N,6,5] x) => (float[N,6,5] y) {
            h = MatMul(x, w0)
            h4 = Reshape(h, s0)
            t = Transpose<perm=[0,2,1,3]>(h4)
            shape = Shape(t)
            n = Gather(shape, zero)
            m = Mul(n, four)
            c = Concat<axis=0>(m, rest)
            f = Reshape(t, c)
            ft = Transpose<perm=[0,2,1]>(f)
            a = MatMul(f, ft)
            o = MatMul(a, f)
            g = Reshape(o, s1)
            u = Transpose<perm=[0,2,1,3]>(g)
            r = Reshape(u, s2)
            y = MatMul(r, w1)
        }""",
        "w0 5 12, w1 12 5",
        s0=ints(0, 6, 4, 3),
        zero=ints(0),
        four=ints(4),
        rest=ints(6, -1),
        s1=ints(-1, 4, 6, 3),
        s2=ints(0, 6, 12),
    )


@small
def expanded() -> onnx.ModelProto:
    return proto(
        """(float[N,1,4] x) => (float[N,3,5] y) {
            h = MatMul(x, w0)
            e = Expand(h, s0)
            f = Expand(e, s1)
            y = MatMul(f, w1)
        }""",
        "w0 4 8, w1 8 5",
        s0=ints(3, 1),
        s1=ints(8),
    )


@small
def squeezed() -> onnx.ModelProto:
    """A Squeeze without axes would drop a channel axis of which one index is left."""
    return proto(
        """(float[1,3,4,4] x) => (float[5] y) {
            a = Conv(x, w0)
            p = GlobalAveragePool(a)
            s = Squeeze(p)
            y = MatMul(s, w1)
        }""",
        "w0 3 3 1 1, w1 3 5",
    )


@small
def resized() -> onnx.ModelProto:
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,8,8] y) {
            a = Conv(x, w0)
            u = Resize<mode="nearest">(a, , scales)
            b = Conv(u, w1)
            shape = Shape(b)
            some = Slice(shape, zero, two)
            sizes = Concat<axis=0>(some, eight)
            v = Resize<mode="linear">(b, , , sizes)
            y = Conv(v, w2)
        }""",
        "w0 4 3 1 1, w1 6 4 1 1, w2 2 6 1 1",
        scales=np.array([1, 1, 2, 2], np.float32),
        zero=ints(0),
        two=ints(2),
        eight=ints(8, 8),
    )


@small
def reduced() -> onnx.ModelProto:
    """A sum over the channels is over what is left; the shape leaves the model as a number."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y, int64[4] z) {
            a = Conv(x, w0)
            b = Conv(a, w1)
            s = ReduceSum<keepdims=1>(b, one)
            c = Conv(a, w2)
            z = Shape(c)
            m = Mul(c, s)
            y = Conv(m, w3)
        }""",
        "w0 4 3 1 1, w1 6 4 1 1, w2 5 4 1 1, w3 2 5 1 1",
        one=ints(1),
    )
