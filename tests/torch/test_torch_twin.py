"""The masked twin answers what the hand-sliced model answers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, Removed, answers, arrays, check, model, normal, sliced  # noqa: E402

from onnxprune.torch import masked_twin  # noqa: E402

pytestmark = pytest.mark.torch


IMAGE = {"x": normal(2, 3, 6, 6)}
TOKENS = {"x": normal(2, 5, 8)}


def test_convolutions_with_batch_normalisation() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,4,6,6] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        n = BatchNormalization(a, s, t, mean, var)
        r = Relu(n)
        y = Conv<pads=[1,1,1,1]>(r, w2, b2)
    }"""
    weights = {
        "w1": normal(8, 3, 3, 3),
        "b1": normal(8),
        "s": normal(8, seed=1),
        "t": normal(8, seed=2),
        "mean": normal(8, seed=3),
        "var": np.abs(normal(8, seed=4)) + 0.1,
        "w2": normal(4, 8, 3, 3),
        "b2": normal(4),
    }
    gone = [1, 4, 7]
    removed: Removed = {n: {0: gone} for n in ("w1", "b1", "s", "t", "mean", "var")}
    check(body, weights, {**removed, "w2": {1: gone}}, IMAGE)


def test_nothing_removed() -> None:
    check(
        "m (float[2,5,8] x) => (float[2,5,4] y) { y = MatMul(x, w) }",
        {"w": normal(8, 4)},
        {},
        TOKENS,
    )


def test_residual_connection() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {
        a = Conv(x, w0)
        b = Conv(a, w1)
        c = Sigmoid(b)
        s = Add(a, c)
        y = Conv(s, w2)
    }"""
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(6, 6, 1, 1), "w2": normal(2, 6, 1, 1)}
    removed: Removed = {"w0": {0: [0, 5]}, "w1": {0: [0, 5], 1: [0, 5]}, "w2": {1: [0, 5]}}
    check(body, weights, removed, IMAGE)


def test_squeeze_and_excite() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {
        a = Conv(x, w0)
        g = GlobalAveragePool(a)
        h = Conv(g, w1)
        e = HardSigmoid(h)
        s = Mul(a, e)
        p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(s)
        q = AveragePool<kernel_shape=[2,2], pads=[0,0,1,1]>(p)
        y = Conv(q, w2)
    }"""
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(6, 6, 1, 1), "w2": normal(2, 6, 1, 1)}
    removed: Removed = {"w0": {0: [2]}, "w1": {0: [2], 1: [2]}, "w2": {1: [2]}}
    check(body, weights, removed, IMAGE)


def test_concat_split_and_channel_shuffle() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {{
        a = Conv(x, w0)
        b = Conv(x, w1)
        c = Concat<axis=1>(a, b)
        r = Reshape(c, apart)
        t = Transpose<perm=[0,2,1,3,4]>(r)
        u = Reshape(t, together)
        first, second = Split<axis=1>(u, parts)
        d = Concat<axis=1>(second, first)
        y = Conv(d, w2)
    }}"""
    weights = {"w0": normal(4, 3, 1, 1), "w1": normal(4, 3, 1, 1, seed=1), "w2": normal(2, 8, 1, 1)}
    # after the shuffle the channels are a0 b0 a1 b1 a2 b2 a3 b3; then split in the middle, swapped
    removed: Removed = {"w0": {0: [1]}, "w1": {0: [1]}, "w2": {1: [6, 7]}}

    def with_sizes(count: int, parts: list[int]) -> Arrays:
        return {
            "apart": np.array([2, 2, count, 6, 6]),
            "together": np.array([2, 2 * count, 6, 6]),
            "parts": np.array(parts),
        }

    full, small = with_sizes(4, [4, 4]), with_sizes(3, [2, 4])
    twin = masked_twin(model(body.format(), {**weights, **full}), IMAGE, arrays(removed))
    expected = answers(body.format(), {**sliced(weights, removed), **small}, IMAGE)
    np.testing.assert_allclose(twin["y"], expected["y"], rtol=1e-4, atol=1e-5)


def test_flatten_and_gemm() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,5] y) {
        a = Conv<strides=[3,3]>(x, w0)
        f = Flatten(a)
        h = Gemm<transB=1>(f, w1, b1)
        y = Gemm<alpha=0.5, beta=2.0>(h, w2, b2)
    }"""
    weights = {
        "w0": normal(4, 3, 3, 3),
        "w1": normal(7, 16),
        "b1": normal(7),
        "w2": normal(7, 5),
        "b2": normal(5),
    }
    gone = [c * 4 + i for c in (0, 2) for i in range(4)]
    removed: Removed = {"w0": {0: [0, 2]}, "w1": {0: [3], 1: gone}, "b1": {0: [3]}, "w2": {0: [3]}}
    check(body, weights, removed, IMAGE)


@pytest.mark.parametrize(("gone", "groups"), [([2, 3], 3), ([0, 2, 4, 6], 4)])
def test_group_normalisation(gone: list[int], groups: int) -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {{
        a = Conv(x, w0)
        n = GroupNormalization<num_groups={}>(a, s, t)
        y = Conv(n, w1)
    }}"""
    weights = {"w0": normal(8, 3, 1, 1), "s": normal(8), "t": normal(8), "w1": normal(2, 8, 1, 1)}
    removed: Removed = {"w0": {0: gone}, "s": {0: gone}, "t": {0: gone}, "w1": {1: gone}}
    check(body.format(4), weights, removed, IMAGE, body.format(groups))


@pytest.mark.parametrize(
    "middle",
    [
        "n = LayerNormalization(a, s, t)",
        "n = LayerNormalization<axis=-2>(a, s, t)",
        "m = Softmax(a) n = Mul(m, s)",
        "m = LogSoftmax(a) n = Mul(m, s)",
        "q = Mul(a, a) u = ReduceMean(q, last) v = Sqrt(u) w = Div(a, v) n = Mul(w, s)",
        "u = ReduceMax(a, last) v = ReduceLogSumExp(a, last) w = Sub(a, u) n = Add(w, v)",
        "u = ReduceL2(a, last) v = ReduceMin(a, last) w = Div(a, u) n = Add(w, v)",
        "u = Exp(a) v = ReduceProd(u, last) w = CumSum(a, one) n = Mul(w, v)",
        "u = Exp(a) v = Log(u) w = Reciprocal(u) p = Pow(w, two) q = Add(v, p) n = Clip(q, one_f)",
        "u = Cos(a) v = Greater(u, zero) n = Where(v, u, a)",
    ],
)
def test_statistics_over_what_is_present(middle: str) -> None:
    body = f"""m (float[2,5,8] x) => (float[2,5,3] y) {{
        a = MatMul(x, w0)
        {middle}
        y = MatMul(n, w1)
    }}"""
    weights = {
        "w0": normal(8, 6),
        "s": normal(6),
        "t": normal(6, seed=1),
        "w1": normal(6, 3),
    }
    fixed = {
        "last": np.array([-1]),
        "one": np.array(1),
        "two": np.array(2.0, np.float32),
        "one_f": np.array(1.0, np.float32),
        "zero": np.array(0.0, np.float32),
    }
    fixed = {n: v for n, v in fixed.items() if n in middle}
    weights = {n: v for n, v in weights.items() if n in body.replace("(", " ").replace(")", " ")}
    if "axis=-2" in middle:
        weights |= {"s": normal(5, 6), "t": normal(5, 6, seed=1)}
    removed: Removed = {"w0": {1: [0, 3]}, "w1": {0: [0, 3]}}
    removed |= {n: {weights[n].ndim - 1: [0, 3]} for n in ("s", "t") if f", {n}" in middle}
    check(body, {**weights, **fixed}, removed, TOKENS)


@pytest.mark.parametrize("bias", ["", ", b1"])
def test_depthwise_convolution(bias: str) -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {{
        a = Conv(x, w0)
        d = Conv<group={}, pads=[1,1,1,1]>(a, w1{})
        y = Conv(d, w2)
    }}"""
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(6, 1, 3, 3), "w2": normal(2, 6, 1, 1)}
    removed: Removed = {"w0": {0: [1, 2]}, "w1": {0: [1, 2]}, "w2": {1: [1, 2]}}
    if bias:
        weights["b1"] = normal(6)
        removed["b1"] = {0: [1, 2]}
    check(body.format(6, bias), weights, removed, IMAGE, body.format(4, bias))


def test_groups_that_keep_different_channels() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,4,6,6] y) {
        a = Conv(x, w0)
        y = Conv<group=2>(a, w1)
    }"""
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(4, 3, 1, 1)}
    gone = np.zeros((4, 3, 1, 1), bool)
    gone[:2, 0] = gone[2:, 2] = True  # channel 0 of the first group, 2 of the second
    removed = {"w0": {0: np.array([0, 5])}, "w1": gone}
    twin = masked_twin(model(body, weights), IMAGE, removed)
    small = {
        "w0": np.delete(weights["w0"], [0, 5], 0),
        "w1": weights["w1"][~gone[..., 0, 0]].reshape(4, 2, 1, 1),
    }
    expected = answers(body, small, IMAGE)
    np.testing.assert_allclose(twin["y"], expected["y"], rtol=1e-4, atol=1e-5)


def test_transposed_convolution_and_resize() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,24,24] y) {
        a = Conv(x, w0)
        t = ConvTranspose<strides=[2,2]>(a, w1, b1)
        r = Resize<mode="linear">(t, none, scales)
        y = Conv(r, w2)
    }"""
    weights = {
        "w0": normal(6, 3, 1, 1),
        "w1": normal(6, 4, 2, 2),
        "b1": normal(4),
        "w2": normal(2, 4, 1, 1),
        "none": np.array([], np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    removed: Removed = {
        "w0": {0: [3]},
        "w1": {0: [3], 1: [0, 1]},
        "b1": {0: [0, 1]},
        "w2": {1: [0, 1]},
    }
    check(body, weights, removed, IMAGE)


def test_padding_is_present_only_on_the_padded_axis() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,8,8] y) {
        a = Conv(x, w0)
        p = Pad(a, pads, number)
        y = Conv(p, w1)
    }"""
    weights = {
        "w0": normal(4, 3, 1, 1),
        "w1": normal(2, 6, 1, 1),
        "pads": np.array([0, 1, 1, 1, 0, 1, 1, 1]),  # a channel on each side, and a border
        "number": np.array(3.0, np.float32),
    }
    check(body, weights, {"w0": {0: [2]}, "w1": {1: [3]}}, IMAGE)


def test_channels_of_padding_go_without_objection() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {
        a = Conv(x, w0)
        p = Pad(a, pads, number)
        b = Conv<pads=[1,1,1,1]>(x, w1)
        s = Add(p, b)
        y = Conv(s, w2)
    }"""
    weights = {
        "w0": normal(4, 3, 1, 1),
        "w1": normal(8, 3, 3, 3),
        "w2": normal(2, 8, 1, 1),
        "number": np.array(3.0, np.float32),
    }
    removed: Removed = {"w0": {0: [2]}, "w1": {0: [1, 4, 7]}, "w2": {1: [1, 4, 7]}}
    whole, fewer = np.array([0, 2, 0, 0, 0, 2, 0, 0]), np.array([0, 1, 0, 0, 0, 1, 0, 0])
    twin = masked_twin(model(body, weights | {"pads": whole}), IMAGE, arrays(removed))
    small = sliced(weights, removed) | {"pads": fewer}
    np.testing.assert_allclose(twin["y"], answers(body, small, IMAGE)["y"], rtol=1e-4, atol=1e-5)


def test_local_response_normalisation_skips_missing_channels() -> None:
    body = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {
        a = Conv(x, w0)
        n = LRN<size=3, alpha=0.5>(a)
        y = Conv(n, w1)
    }"""
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(2, 6, 1, 1)}
    removed: Removed = {"w0": {0: [2, 3]}, "w1": {1: [2, 3]}}
    twin = masked_twin(model(body, weights), IMAGE, arrays(removed))
    # onnx.reference is wrong about LRN; onnxruntime agrees with the interpreter
    small = masked_twin(model(body, sliced(weights, removed)), IMAGE, {})
    np.testing.assert_allclose(twin["y"], small["y"], rtol=1e-4, atol=1e-5)


def test_outputs_are_compressed() -> None:
    body = "m (float[2,5,8] x) => (float[2,5,6] y, float[6] z) { y = MatMul(x, w) z = Neg(b) }"
    weights = {"w": normal(8, 6), "b": normal(6)}
    twin = check(body, weights, {"w": {1: [0]}, "b": {0: [1, 2]}}, TOKENS)
    assert twin["y"].shape == (2, 5, 5)


def test_the_product_with_a_filled_state_is_as_wide_as_what_it_meets() -> None:
    body = """m (float[2,5,8] x) => (float[2,5,3] y) {
        state = ConstantOfShape(shape)
        v = MatMul(x, w1)
        p = MatMul(x, state)
        d = Sub(v, p)
        y = MatMul(d, w2)
    }"""
    weights = {"w1": normal(8, 6), "w2": normal(6, 3)}
    removed: Removed = {"w1": {1: [0, 4]}, "w2": {0: [0, 4]}}
    twin = masked_twin(model(body, weights | {"shape": np.array([8, 6])}), TOKENS, arrays(removed))
    small = sliced(weights, removed) | {"shape": np.array([8, 4])}
    np.testing.assert_allclose(twin["y"], answers(body, small, TOKENS)["y"], rtol=1e-4, atol=1e-5)
