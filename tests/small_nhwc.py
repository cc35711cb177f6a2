"""Small models in the words of tf2onnx (channels last) and paddle2onnx.

Each comes with the sizes of its units, in topological order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from helpers import ints, proto

Maker = Callable[[], onnx.ModelProto]

MODELS: dict[str, tuple[Maker, tuple[int, ...]]] = {}


def sized(*sizes: int) -> Callable[[Maker], Maker]:
    def register(function: Maker) -> Maker:
        MODELS[function.__name__] = function, sizes
        return function

    return register


def in_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with its weights in Constant nodes, as Paddle's converter leaves them."""
    nodes = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@sized(8, 24, 10, 12)
def tf_inverted_residual() -> onnx.ModelProto:
    """SAME padding, batch norms as Mul and Add, ReLU6 as Clip, a reshaped depthwise kernel."""
    return proto(
        """(float[N,8,8,3] image) => (float[N,4] y) {
            nchw = Transpose<perm=[0,3,1,2]>(image)
            c0 = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(nchw, w0)
            m0 = Mul(c0, g0)
            a0 = Add(m0, h0)
            r0 = Clip(a0, zero, six)
            c1 = Conv(r0, w1, b1)
            r1 = Clip(c1, zero, six)
            k1 = Transpose<perm=[2,3,0,1]>(depthwise)
            k2 = Reshape(k1, kernel)
            c2 = Conv<auto_pad="SAME_UPPER", group=24>(r1, k2)
            m2 = Mul(c2, g2)
            a2 = Add(m2, h2)
            r2 = Clip(a2, zero, six)
            c3 = Conv(r2, w3, b3)
            s = Add(r0, c3)
            c4 = Conv(s, w4, b4)
            nhwc = Transpose<perm=[0,2,3,1]>(c4)
            r4 = Relu(nhwc)
            p = ReduceMean<axes=[1,2], keepdims=0>(r4)
            d0 = MatMul(p, w5)
            e0 = Add(d0, b5)
            f0 = Relu(e0)
            d = MatMul(f0, w6)
            y = Add(d, b6)
        }""",
        "w0 8 3 3 3, g0 1 8 1 1, h0 8 1 1, w1 24 8 1 1, b1 24, depthwise 3 3 24 1, g2 1 24 1 1, "
        "h2 24 1 1, w3 8 24 1 1, b3 8, w4 10 8 1 1, b4 10, w5 10 12, b5 12, w6 12 4, b6 4",
        opset=13,
        zero=np.array(0, np.float32),
        six=np.array(6, np.float32),
        kernel=ints(24, 1, 3, 3),
    )


@sized(8, 6, 5)
def tf_transposes_around_everything() -> onnx.ModelProto:
    """Nothing optimised: each layer between Transposes, norms, Pad and Concat channels last."""
    return proto(
        """(float[N,8,8,3] image) => (float[N,4] y) {
            t0 = Transpose<perm=[0,3,1,2]>(image)
            c0 = Conv<auto_pad="VALID">(t0, w0)
            u0 = Transpose<perm=[0,2,3,1]>(c0)
            b0 = Add(u0, bias0)
            m0 = Mul(b0, scale)
            a0 = Add(m0, shift)
            r0 = Max(a0, zero)
            pad0 = Pad(r0, pads)
            t1 = Transpose<perm=[0,3,1,2]>(pad0)
            c1 = Conv<strides=[2,2]>(t1, w1)
            u1 = Transpose<perm=[0,2,3,1]>(c1)
            b1 = Add(u1, bias1)
            t2 = Transpose<perm=[0,3,1,2]>(r0)
            c2 = Conv<strides=[2,2], auto_pad="SAME_UPPER">(t2, w2)
            u2 = Transpose<perm=[0,2,3,1]>(c2)
            j = Concat<axis=3>(b1, u2)
            l = LeakyRelu(j)
            shape = Shape(l)
            shape32 = Cast<to=6>(shape)
            strided = Slice(shape32, start, end, axis)
            n = Squeeze(strided, axis)
            pack0 = Unsqueeze(n, axis)
            pack = Concat<axis=0>(pack0, minus)
            target = Cast<to=7>(pack)
            f = Reshape(l, target)
            d = MatMul(f, w3)
            y = Add(d, b3)
        }""",
        "w0 8 3 1 1, bias0 8, scale 8, shift 8, w1 6 8 3 3, bias1 6, w2 5 8 3 3, w3 176 4, b3 4",
        opset=13,
        zero=np.array(0, np.float32),
        pads=ints(0, 1, 1, 0, 0, 1, 1, 0),
        start=ints(0),
        end=ints(1),
        axis=ints(0),
        minus=np.array([-1], np.int32),
    )


@sized(16, 4, 12)
def tf_squeeze_excite() -> onnx.ModelProto:
    """A gate by ReduceMean, hard-swish as x * relu6(x + 3) / 6, Squeeze before the head."""
    return proto(
        """(float[N,3,8,8] image) => (float[N,4] y) {
            a = Conv<pads=[1,1,1,1]>(image, w0, b0)
            three_more = Add(a, three)
            clipped = Clip(three_more, zero, six)
            sixth = Mul(clipped, inverse)
            h = Mul(a, sixth)
            p = ReduceMean<axes=[2,3], keepdims=1>(h)
            c1 = Conv(p, w1, b1)
            r = Relu(c1)
            c2 = Conv(r, w2, b2)
            g = Sigmoid(c2)
            m = Mul(g, h)
            c3 = Conv(m, w3, b3)
            q = GlobalAveragePool(c3)
            s = Squeeze(q, axes)
            d = MatMul(s, w4)
            y = Add(d, b4)
        }""",
        "w0 16 3 3 3, b0 16, w1 4 16 1 1, b1 4, w2 16 4 1 1, b2 16, w3 12 16 1 1, b3 12, "
        "w4 12 4, b4 4",
        opset=13,
        zero=np.array(0, np.float32),
        three=np.array(3, np.float32),
        six=np.array(6, np.float32),
        inverse=np.array(1 / 6, np.float32),
        axes=ints(2, 3),
    )


@sized(8, 6, 10)
def tf_resize() -> onnx.ModelProto:
    """A transposed convolution, and a Resize channels last to a size taken from another tensor."""
    return proto(
        """(float[N,8,8,3] image) => (float[N,8,8,2] y) {
            t = Transpose<perm=[0,3,1,2]>(image)
            a = Conv<pads=[1,1,1,1]>(t, w0, b0)
            skip = Relu(a)
            down = MaxPool<kernel_shape=[2,2], strides=[2,2]>(skip)
            b = Conv<pads=[1,1,1,1]>(down, w1, b1)
            up = ConvTranspose<strides=[2,2]>(b, w2, b2)
            nhwc = Transpose<perm=[0,2,3,1]>(up)
            large = Transpose<perm=[0,2,3,1]>(skip)
            shape = Shape(large)
            hw = Slice(shape, one, three, zero)
            inner = Transpose<perm=[0,3,1,2]>(nhwc)
            nc = Shape(inner)
            nc2 = Slice(nc, zero, two, zero)
            sizes = Concat<axis=0>(nc2, hw)
            big = Resize<mode="linear", coordinate_transformation_mode="half_pixel">
                (inner, , , sizes)
            back = Transpose<perm=[0,2,3,1]>(big)
            joined = Concat<axis=3>(back, large)
            last = Transpose<perm=[0,3,1,2]>(joined)
            c = Conv(last, w3, b3)
            y = Transpose<perm=[0,2,3,1]>(c)
        }""",
        "w0 8 3 3 3, b0 8, w1 6 8 3 3, b1 6, w2 6 10 2 2, b2 10, w3 2 18 1 1, b3 2",
        opset=13,
        zero=ints(0),
        one=ints(1),
        two=ints(2),
        three=ints(3),
    )


@sized(16, 24)
def tf_dense_on_images() -> onnx.ModelProto:
    """Keras' Dense on a tensor of rank four: Tensordot, whose sizes are products of sizes."""
    return proto(
        """(float[N,8,8,3] x) => (float[N,8,8,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            shape = Shape(r)
            shape32 = Cast<to=6>(shape)
            free = Gather<axis=0>(shape32, others)
            used = Gather<axis=0>(shape32, last)
            rows = ReduceProd<axes=[0], keepdims=0>(free)
            columns = ReduceProd<axes=[0], keepdims=0>(used)
            rows1 = Unsqueeze(rows, zero)
            columns1 = Unsqueeze(columns, zero)
            flat32 = Concat<axis=0>(rows1, columns1)
            flat = Cast<to=7>(flat32)
            f = Reshape(r, flat)
            m = MatMul(f, w1)
            full32 = Concat<axis=0>(free, width)
            full = Cast<to=7>(full32)
            g = Reshape(m, full)
            b = Add(g, b1)
            e = Relu(b)
            y = MatMul(e, w2)
        }""",
        "w0 3 16, w1 16 24, b1 24, w2 24 5",
        opset=13,
        others=ints(0, 1, 2),
        last=ints(3),
        zero=ints(0),
        width=np.array([24], np.int32),
    )


@sized(16, 24)
def tf_layer_norm() -> onnx.ModelProto:
    """Keras' LayerNormalization: two means, Neg, Sub, Rsqrt as Sqrt and Reciprocal."""
    return proto(
        """(float[N,8,3] x) => (float[N,8,5] y) {
            h = MatMul(x, w0)
            mean = ReduceMean<axes=[2], keepdims=1>(h)
            minus = Neg(mean)
            d = Sub(h, mean)
            s = Mul(d, d)
            variance = ReduceMean<axes=[2], keepdims=1>(s)
            v = Add(variance, epsilon)
            q = Sqrt(v)
            r = Reciprocal(q)
            scale = Mul(r, gamma)
            scaled = Mul(h, scale)
            moved = Mul(minus, scale)
            shift = Add(moved, beta)
            n = Add(scaled, shift)
            m = MatMul(n, w1)
            e = Relu(m)
            y = MatMul(e, w2)
        }""",
        "w0 3 16, gamma 1 1 16, beta 1 1 16, w1 16 24, w2 24 5",
        opset=13,
        epsilon=np.array(1e-3, np.float32),
    )


@sized(8, 12, 3, 10)
def paddle_lcnet() -> onnx.ModelProto:
    """Weights in Constants, Identities, biases that are reshaped and added, hard activations."""
    return in_constants(
        proto(
            """(float[N,3,8,8] x) => (float[N,4] fetch) {
                i = Identity(x)
                c0 = Conv<group=1, pads=[1,1,1,1], strides=[2,2]>(i, w0)
                n0 = BatchNormalization(c0, s0, o0, m0, v0)
                p0 = Add(n0, three)
                l0 = Clip(p0, zero, six)
                t0 = Mul(n0, l0)
                h0 = Div(t0, six)
                c1 = Conv<group=8, pads=[1,1,1,1]>(h0, w1)
                n1 = BatchNormalization(c1, s1, o1, m1, v1)
                c2 = Conv(n1, w2)
                b2s = Reshape(b2, as_bias)
                a2 = Add(c2, b2s)
                h2 = Identity(a2)
                q = GlobalAveragePool(h2)
                c3 = Conv(q, w3)
                b3s = Reshape(b3, as_bias)
                a3 = Add(c3, b3s)
                r3 = Relu(a3)
                c4 = Conv(r3, w4)
                b4s = Reshape(b4, as_bias)
                a4 = Add(c4, b4s)
                g = HardSigmoid<alpha=0.1666666716337204, beta=0.5>(a4)
                gated = Mul(h2, g)
                c5 = Conv(gated, w5)
                n5 = BatchNormalization(c5, s5, o5, m5, v5)
                f = GlobalAveragePool(n5)
                shape = Shape(f)
                first = Slice(shape, start, end, axis)
                target = Concat<axis=0>(first, minus)
                flat = Reshape(f, target)
                drop = Identity(flat)
                d = MatMul(drop, w6)
                e = Add(d, b6)
                fetch = Identity(e)
            }""",
            "w0 8 3 3 3, s0 8, o0 8, m0 8, w1 8 1 3 3, s1 8, o1 8, m1 8, w2 12 8 1 1, b2 12, "
            "w3 3 12 1 1, b3 3, w4 12 3 1 1, b4 12, w5 10 12 1 1, s5 10, o5 10, m5 10, "
            "w6 10 4, b6 4",
            opset=11,
            v0=np.linspace(0.5, 2, 8, dtype=np.float32),
            v1=np.linspace(2, 0.5, 8, dtype=np.float32),
            v5=np.linspace(0.5, 1, 10, dtype=np.float32),
            zero=np.array(0, np.float32),
            three=np.array(3, np.float32),
            six=np.array(6, np.float32),
            as_bias=ints(1, -1, 1, 1),
            start=ints(0),
            end=ints(1),
            axis=ints(0),
            minus=ints(-1),
        )
    )


@sized(8, 12, 6, 10)
def paddle_pyramid() -> onnx.ModelProto:
    """Two levels joined by a Resize to a computed size; boxes by a Reshape of computed sizes."""
    return in_constants(
        proto(
            """(float[N,3,8,8] x) => (float[N,L,5] fetch) {
                c0 = Conv<pads=[1,1,1,1]>(x, w0)
                low = Relu(c0)
                c1 = Conv<pads=[1,1,1,1], strides=[2,2]>(low, w1)
                high = Relu(c1)
                lateral = Conv(high, w2)
                shape = Shape(low)
                hw = Slice(shape, two, four, zero)
                hw32 = Cast<to=6>(hw)
                hw1, hw2 = Split<axis=0>(hw32)
                wanted = Concat<axis=0>(hw1, hw2)
                wanted64 = Cast<to=7>(wanted)
                own = Shape(lateral)
                nc = Slice(own, zero, two, zero)
                sizes = Concat<axis=0>(nc, wanted64)
                up = Resize<mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor">(lateral, nothing, nothing, sizes)
                a0 = Identity(up)
                a1 = Identity(low)
                joined = Concat<axis=1>(a0, a1)
                c3 = Conv(joined, w3)
                h = Relu(c3)
                boxes = Conv(h, w4)
                b4s = Reshape(b4, as_bias)
                level = Add(boxes, b4s)
                out = Shape(level)
                n0 = Slice(out, zero, one, zero)
                n = Squeeze<axes=[0]>(n0)
                h0 = Slice(out, two, three, zero)
                hh = Squeeze<axes=[0]>(h0)
                v0 = Slice(out, three, four, zero)
                ww = Squeeze<axes=[0]>(v0)
                area = Mul(hh, ww)
                n1 = Unsqueeze<axes=[0]>(n)
                area1 = Unsqueeze<axes=[0]>(area)
                table = Concat<axis=0>(n1, two, five, area1)
                dealt = Reshape(level, table)
                turned = Transpose<perm=[0,1,3,2]>(dealt)
                lines = Concat<axis=0>(n1, minus, five)
                fetch = Reshape(turned, lines)
            }""",
            "w0 8 3 3 3, w1 12 8 3 3, w2 6 12 1 1, w3 10 14 1 1, w4 10 10 1 1, b4 10",
            opset=11,
            nothing=np.zeros(0, np.float32),
            as_bias=ints(1, -1, 1, 1),
            zero=ints(0),
            one=ints(1),
            two=ints(2),
            three=ints(3),
            four=ints(4),
            five=ints(5),
            minus=ints(-1),
        )
    )


@sized(6, 6, 4)
def paddle_channel_shuffle() -> onnx.ModelProto:
    """ShuffleNet's unit: one half takes two layers more, then both are shuffled together.

    The halves are the rows of a table, so their channels go by pairs.
    """
    return in_constants(
        proto(
            """(float[N,3,8,8] x) => (float[N,4] fetch) {
                c0 = Conv<pads=[1,1,1,1]>(x, w0)
                r0 = Relu(c0)
                s0, s1 = Split<axis=1, split=[6,6]>(r0)
                keep = Identity(s0)
                go = Identity(s1)
                c1 = Conv(go, w1)
                r1 = Relu(c1)
                c2 = Conv<group=6, pads=[1,1,1,1]>(r1, w2)
                both = Concat<axis=1>(keep, c2)
                pairs = Reshape(both, table)
                turned = Transpose<perm=[0,2,1,3,4]>(pairs)
                mixed = Reshape(turned, flat)
                c3 = Conv(mixed, w3)
                p = GlobalAveragePool(c3)
                f = Flatten(p)
                d = MatMul(f, w4)
                fetch = Add(d, b4)
            }""",
            "w0 12 3 3 3, w1 6 6 1 1, w2 6 1 3 3, w3 4 12 1 1, w4 4 4, b4 4",
            opset=11,
            table=ints(-1, 2, 6, 8, 8),
            flat=ints(-1, 12, 8, 8),
        )
    )


@sized(16, 4, 4, 24)
def paddle_attention() -> onnx.ModelProto:
    """One projection dealt out to heads, cut by Slice and Squeeze; GELU as Div, Erf, Add, Mul."""
    return proto(
        """(float[N,S,3] x) => (float[N,S,5] fetch) {
            e = MatMul(x, w0)
            shape = Shape(e)
            n0 = Slice(shape, zero, one, zero, one)
            n = Squeeze(n0, zero)
            s0 = Slice(shape, one, two, zero, one)
            s = Squeeze(s0, zero)
            n1 = Unsqueeze(n, zero)
            s1 = Unsqueeze(s, zero)
            p = MatMul(e, w1)
            b = Add(p, b1)
            table = Concat<axis=0>(n1, s1, three, four, four)
            dealt = Reshape(b, table)
            turned = Transpose<perm=[2,0,3,1,4]>(dealt)
            q0 = Slice(turned, zero, one, zero, one)
            q = Squeeze(q0, zero)
            k0 = Slice(turned, one, two, zero, one)
            k = Squeeze(k0, zero)
            v0 = Slice(turned, two, three, zero, one)
            v = Squeeze(v0, zero)
            small = Mul(q, half)
            kt = Transpose<perm=[0,1,3,2]>(k)
            a = MatMul(small, kt)
            w = Softmax<axis=-1>(a)
            o = MatMul(w, v)
            back = Transpose<perm=[0,2,1,3]>(o)
            lines = Concat<axis=0>(n1, s1, sixteen)
            flat = Reshape(back, lines)
            proj = MatMul(flat, w2)
            sum = Add(e, proj)
            h = MatMul(sum, w3)
            g0 = Div(h, root)
            g1 = Erf(g0)
            g2 = Add(g1, unit)
            g3 = Mul(h, g2)
            g = Mul(g3, half)
            fetch = MatMul(g, w4)
        }""",
        "w0 3 16, w1 16 48, b1 48, w2 16 16, w3 16 24, w4 24 5",
        opset=17,
        zero=ints(0),
        one=ints(1),
        two=ints(2),
        three=ints(3),
        four=ints(4),
        sixteen=ints(16),
        half=np.array(0.5, np.float32),
        root=np.array(2**0.5, np.float32),
        unit=np.array(1, np.float32),
    )
