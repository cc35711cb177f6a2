"""Nodes that run graphs of their own, and values that pass from one operator to its counterpart."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, Removed, answers, arrays, check, model, normal, sliced  # noqa: E402

from onnxprune.torch import Interpreter, LeakError, UnsupportedOperator, masked_twin  # noqa: E402

pytestmark = pytest.mark.torch

TOKENS = {"x": normal(2, 5, 8)}
WEIGHTS: Arrays = {"w0": normal(8, 6), "w1": normal(6, 6), "w2": normal(6, 3)}
START: Arrays = {"yes": np.array(True)}
GONE: Removed = {"w0": {1: [1, 4]}, "w1": {0: [1, 4], 1: [1, 4]}, "w2": {0: [1, 4]}}

LOOP = """m (float[2,5,8] x) => (float[2,5,3] y, float[3,2,5,6] s) {
    a = MatMul(x, w0)
    count = Constant<value_int=3>()
    b, s = Loop (count, yes, a) <body = turn (int64 i, bool go, float[2,5,6] h)
        => (bool again, float[2,5,6] next, float[2,5,6] seen) {
        again = Identity(go)
        p = MatMul(h, w1)
        next = Tanh(p)
        seen = Add(next, a)
    }>
    y = MatMul(b, w2)
}"""

SCAN = """m (float[2,5,8] x) => (float[2,5,3] y, float[2,6] last) {
    a = MatMul(x, w0)
    t = Transpose<perm=[1,0,2]>(a)
    zero = Constant<value_float=0.0>()
    first = ReduceSum<keepdims=0>(a, axis)
    start = Mul(first, zero)
    last, states = Scan<num_scan_inputs=1, body = step (float[2,6] h, float[2,6] e)
        => (float[2,6] next, float[2,6] seen) {
        p = MatMul(h, w1)
        q = Add(p, e)
        next = Tanh(q)
        seen = Identity(next)
    }> (start, t)
    u = Transpose<perm=[1,0,2]>(states)
    y = MatMul(u, w2)
}"""


def test_a_loop_carries_missing_entries() -> None:
    twin = masked_twin(model(LOOP, WEIGHTS | START), TOKENS, arrays(GONE))
    # onnx.reference joins the results of turns without a new axis; onnxruntime adds it, as here
    small = masked_twin(model(LOOP, sliced(WEIGHTS | START, GONE)), TOKENS, {})
    assert twin["s"].shape == (3, 2, 5, 4)
    for name, want in small.items():
        np.testing.assert_allclose(twin[name], want, rtol=1e-4, atol=1e-5)


def test_a_scan_carries_missing_entries() -> None:
    weights = WEIGHTS | {"axis": np.array([1])}
    twin = check(SCAN, weights, GONE, TOKENS)
    assert twin["last"].shape == (2, 4)


@pytest.mark.parametrize("body", [LOOP, SCAN])
@pytest.mark.parametrize("wrong", [{0: [1, 4]}, {0: [1, 4], 1: [1]}, {0: [1], 1: [1]}])
def test_a_state_that_changes_what_it_misses(body: str, wrong: dict[int, list[int]]) -> None:
    weights = WEIGHTS | ({"axis": np.array([1])} if body is SCAN else START)
    with pytest.raises(LeakError):
        masked_twin(model(body, weights), TOKENS, arrays({**GONE, "w1": wrong}))


def test_a_loop_that_ends_by_itself() -> None:
    body = """m (float[3] x) => (float[3] y) {
        yes = Constant<value_int=1>()
        start = Cast<to=9>(yes)
        y = Loop (, start, x) <body = turn (int64 i, bool go, float[3] h)
            => (bool again, float[3] next) {
            two = Constant<value_float=2.0>()
            next = Mul(h, two)
            largest = ReduceMax<keepdims=0>(next)
            limit = Constant<value_float=100.0>()
            again = Less(largest, limit)
        }>
    }"""
    feeds = {"x": np.array([1, 2, 3], np.float32)}
    result = Interpreter(model(body, {})).run(feeds)["y"]
    assert result.value.tolist() == [64, 128, 192]


def test_a_loop_without_a_turn() -> None:
    feeds = {"x": normal(2, 5, 8)}
    with pytest.raises(UnsupportedOperator, match="no turn"):
        masked_twin(model(LOOP.replace("value_int=3", "value_int=0"), WEIGHTS | START), feeds, {})


@pytest.mark.parametrize("sign", [1, -1])
def test_branches_that_use_one_name_twice(sign: int) -> None:
    body = """m (float[3] x) => (float[3] y) {
        s = ReduceSum<keepdims=0>(x)
        zero = Constant<value_float=0.0>()
        c = Greater(s, zero)
        y = If (c) <
            then_branch = yes () => (float[3] p) { k = Constant<value_float=2.0>() p = Add(x, k) },
            else_branch = no () => (float[3] q) { k = Constant<value_float=3.0>() q = Add(x, k) }
        >
    }"""
    feeds = {"x": sign * np.abs(normal(3))}
    interpreter = Interpreter(model(body, {}))
    assert {"k", "k#2"} <= interpreter.parameters.keys()
    want = feeds["x"] + (2 if sign > 0 else 3)
    np.testing.assert_array_equal(interpreter.run(feeds)["y"].value.numpy(), want)


POOL = """m (float[2,3,6,6] x) => (float[2,2,6,6] y, int64[2,6,3,3] i) {
    a = Conv(x, w0)
    p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
    r = Relu(p)
    u = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(r, i)
    y = Conv(u, w1)
}"""


def _pooling() -> tuple[Arrays, Removed]:
    weights = {"w0": normal(6, 3, 1, 1), "w1": normal(2, 6, 1, 1)}
    return weights, {"w0": {0: [0, 3]}, "w1": {1: [0, 3]}}


def test_maxima_are_put_back_where_they_were() -> None:
    weights, removed = _pooling()
    feeds = {"x": normal(2, 3, 6, 6)}
    twin = masked_twin(model(POOL, weights), feeds, arrays(removed))
    small = masked_twin(model(POOL, sliced(weights, removed)), feeds, {})
    np.testing.assert_allclose(twin["y"], small["y"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(twin["i"], small["i"])


def test_positions_in_another_channel() -> None:
    weights, removed = _pooling()
    body = POOL.replace("(r, i)", "(r, j)").replace("r = Relu(p)", "r = Relu(p) j = Add(i, one)")
    weights |= {"one": np.array(36)}
    masked_twin(model(POOL, weights | {"one": np.array(0)}), {"x": normal(2, 3, 6, 6)}, {})
    with pytest.raises(LeakError, match="another channel"):
        masked_twin(model(body, weights), {"x": normal(2, 3, 6, 6)}, arrays(removed))


SEQUENCE = """m (float[2,3,6,6] x) => (float[2,2,6,6] y, int64 n, float[2,6,6,2] z) {
    a = Conv(x, w0)
    parts = SplitToSequence<axis=1>(a, sizes)
    n = SequenceLength(parts)
    p = SequenceAt(parts, zero)
    q = SequenceAt(parts, last)
    c = Conv(p, w1)
    s0 = SequenceEmpty()
    s1 = SequenceInsert(s0, q)
    s2 = SequenceInsert(s1, c, zero)
    s3 = SequenceInsert(s2, x)
    s4 = SequenceErase(s3)
    joined = ConcatFromSequence<axis=1>(s4)
    y = Conv(joined, w2)
    both = SplitToSequence<axis=1, keepdims=0>(y)
    z = ConcatFromSequence<axis=-1, new_axis=1>(both)
}"""


def test_sequences_of_tensors_with_missing_entries() -> None:
    weights: Arrays = {
        "w0": normal(6, 3, 1, 1),
        "w1": normal(5, 2, 1, 1),
        "w2": normal(2, 9, 1, 1),
        "zero": np.array(0),
        "last": np.array(-1),
    }
    removed: Removed = {
        "w0": {0: [0, 3, 5]},
        "w1": {0: [4], 1: [0]},
        "w2": {1: [4, 6, 8]},
    }
    feeds = {"x": normal(2, 3, 6, 6)}
    whole, fewer = np.array([2, 4]), np.array([1, 2])
    twin = masked_twin(model(SEQUENCE, weights | {"sizes": whole}), feeds, arrays(removed))
    small = sliced(weights, removed) | {"sizes": fewer}
    want = masked_twin(model(SEQUENCE, small), feeds, {})
    assert int(want["n"]) == 2
    for name, value in answers(SEQUENCE, small, feeds).items():
        np.testing.assert_allclose(want[name], value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(twin[name], want[name], rtol=1e-4, atol=1e-5)


def test_a_sequence_is_no_output() -> None:
    body = "m (float[2,4] x) => (seq(float[a]) y) { y = SplitToSequence<axis=1>(x) }"
    with pytest.raises(UnsupportedOperator, match="output 'y' is a sequence"):
        masked_twin(model(body, {}), {"x": normal(2, 4)}, {})


def test_a_loop_that_gathers_a_sequence() -> None:
    body = """m (float[2,5,8] x) => (float[2,5,3] y) {
        a = MatMul(x, w0)
        count = Constant<value_int=2>()
        empty = SequenceEmpty()
        s = Loop (count, yes, empty) <body = turn (int64 i, bool go, seq(float[a]) h)
            => (bool again, seq(float[a]) next) {
            again = Identity(go)
            k = Cast<to=1>(i)
            b = Add(a, k)
            next = SequenceInsert(h, b)
        }>
        c = ConcatFromSequence<axis=-1>(s)
        y = MatMul(c, w)
    }"""
    weights = {"w0": WEIGHTS["w0"], "w": normal(12, 3), **START}
    removed: Removed = {"w0": {1: [1, 4]}, "w": {0: [1, 4, 7, 10]}}
    twin = masked_twin(model(body, weights), TOKENS, arrays(removed))
    small = masked_twin(model(body, sliced(weights, removed)), TOKENS, {})
    np.testing.assert_allclose(twin["y"], small["y"], rtol=1e-4, atol=1e-5)
