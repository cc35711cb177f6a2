"""Small models with graphs inside their nodes."""

from __future__ import annotations

import numpy as np
import onnx
from helpers import ints, proto
from small import small


@small
def branches() -> onnx.ModelProto:
    """Either of two convolutions, then a third; both branches read what comes before them."""
    return proto(
        """(float[N,3,4,4] x, bool[1] flag) => (float[N,2,4,4] y) {
            a0 = Conv(x, w0, b0)
            a = Relu(a0)
            c = If(flag) <
                then_branch = g () => (float[N,8,4,4] t) { t0 = Conv(a, wt, bt) t = Relu(t0) },
                else_branch = h () => (float[N,8,4,4] e) { e = Conv(a, we) }
            >
            d = Mul(c, scale)
            y = Conv(d, w1)
        }""",
        "w0 6 3 1 1, b0 6, wt 8 6 1 1, bt 8, we 8 6 1 1, scale 8 1 1, w1 2 8 1 1",
    )


@small
def unequal_branches() -> onnx.ModelProto:
    """Branches that give other numbers of channels: neither of them can lose any."""
    return proto(
        """(float[N,3,4,4] x, bool[1] flag) => (float[N,1,4,4] y) {
            a = Conv(x, w0)
            c = If(flag) <
                then_branch = g () => (float[N,4,4,4] t) { t = Conv(a, wt) },
                else_branch = h () => (float[N,8,4,4] e) { e = Conv(a, we) }
            >
            y = ReduceMean(c, axis)
        }""",
        "w0 6 3 1 1, wt 4 6 1 1, we 8 6 1 1",
        axis=ints(1),
    )


@small
def loop() -> onnx.ModelProto:
    """An Elman network that steps through time; every state and the last one are used."""
    return proto(
        """(float[N,5,3] x) => (float[N,2] y, float[5,N,4] z) {
            first = Gather<axis=1>(x, zero)
            h0 = MatMul(first, w0)
            last, all = Loop(steps, yes, h0) <
                body = g (int64 i, bool go, float[N,8] h) => (bool on, float[N,8] n, float[N,8] s) {
                    on = Identity(go)
                    xt = Gather<axis=1>(x, i)
                    u = MatMul(xt, wx)
                    v = MatMul(h, wh)
                    sum = Add(u, v)
                    biased = Add(sum, bh)
                    n = Tanh(biased)
                    s = Identity(n)
                }
            >
            y = MatMul(last, wy)
            z = MatMul(all, wz)
        }""",
        "w0 3 8, wx 3 8, wh 8 8, bh 8, wy 8 2, wz 8 4",
        zero=np.array(0),
        steps=np.array(5),
        yes=np.array(True),
    )


@small
def scan() -> onnx.ModelProto:
    """The same by Scan, backwards along the second axis, its hidden layer of another width."""
    return proto(
        """(float[N,5,3] x) => (float[N,2] y, float[N,5,4] z) {
            shape = Shape<start=0, end=1>(x)
            size = Concat<axis=0>(shape, width)
            h0 = ConstantOfShape(size)
            last, all = Scan(h0, x) <
                num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
                scan_output_axes = [1],
                body = g (float[N,8] h, float[N,3] xt) => (float[N,8] n, float[N,6] s) {
                    u = MatMul(xt, wx)
                    v = MatMul(h, wh)
                    sum = Add(u, v)
                    n = Tanh(sum)
                    s0 = MatMul(n, ws)
                    s = Relu(s0)
                }
            >
            y = MatMul(last, wy)
            z = MatMul(all, wz)
        }""",
        "wx 3 8, wh 8 8, ws 8 6, wy 8 2, wz 6 4",
        width=ints(8),
    )


@small
def nested() -> onnx.ModelProto:
    """A branch inside a loop, and a split inside the branch."""
    return proto(
        """(float[N,4] x) => (float[N,4] y) {
            h0 = MatMul(x, w0)
            y0 = Loop(steps, yes, h0) <
                body = g (int64 i, bool go, float[N,8] h) => (bool on, float[N,8] n) {
                    on = Identity(go)
                    odd0 = Mod(i, two)
                    odd = Cast<to=9>(odd0)
                    n = If(odd) <
                        then_branch = g2 () => (float[N,8] t) {
                            p, q = Split<axis=1, num_outputs=2>(h)
                            r = Concat<axis=1>(q, p)
                            t = Add(r, h)
                        },
                        else_branch = g3 () => (float[N,8] e) { e0 = MatMul(h, we) e = Tanh(e0) }
                    >
                }
            >
            y = MatMul(y0, w1)
        }""",
        "w0 4 8, we 8 8, w1 8 4",
        two=np.array(2),
        steps=np.array(4),
        yes=np.array(True),
    )
