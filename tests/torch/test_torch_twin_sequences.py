"""The masked twin of attention, recurrence and embeddings."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, Removed, answers, arrays, check, model, normal, sliced  # noqa: E402

from onnxprune.torch import masked_twin  # noqa: E402

pytestmark = pytest.mark.torch


TOKENS = {"x": normal(2, 5, 8)}

ATTENTION = """m (float[2,5,8] x) => (float[2,5,8] y) {
    q0 = MatMul(x, wq)
    q1 = Reshape(q0, split)
    q = Transpose<perm=[0,2,1,3]>(q1)
    k0 = MatMul(x, wk)
    k1 = Reshape(k0, split)
    k = Transpose<perm=[0,2,3,1]>(k1)
    v0 = MatMul(x, wv)
    v1 = Reshape(v0, split)
    v = Transpose<perm=[0,2,1,3]>(v1)
    scores = MatMul(q, k)
    scaled = Mul(scores, scale)
    p = Softmax(scaled)
    o0 = MatMul(p, v)
    o1 = Transpose<perm=[0,2,1,3]>(o0)
    o = Reshape(o1, join)
    y = MatMul(o, wo)
}"""


def test_attention_heads_and_head_dimensions() -> None:
    weights = {n: normal(8, 12, seed=i) for i, n in enumerate(("wq", "wk", "wv"))}
    weights["wo"] = normal(12, 8)
    scale = np.array(0.5, np.float32)
    heads, dims, head_size = {1}, {0, 2}, 4
    gone = [
        h * head_size + d for h in range(3) for d in range(head_size) if h in heads or d in dims
    ]
    removed: Removed = {"wq": {1: gone}, "wk": {1: gone}, "wv": {1: gone}, "wo": {0: gone}}
    full = {"split": np.array([0, 0, 3, 4]), "join": np.array([0, 0, 12]), "scale": scale}
    small = {"split": np.array([0, 0, 2, 2]), "join": np.array([0, 0, 4]), "scale": scale}
    twin = masked_twin(model(ATTENTION, {**weights, **full}), TOKENS, arrays(removed))
    expected = answers(ATTENTION, {**sliced(weights, removed), **small}, TOKENS)
    np.testing.assert_allclose(twin["y"], expected["y"], rtol=1e-4, atol=1e-5)


def test_repeated_keys_follow_the_queries_that_remain() -> None:
    body = """m (float[2,5,8] x) => (float[2,6,5,5] y) {{
        q0 = MatMul(x, wq)
        q1 = Reshape(q0, split_q)
        q = Transpose<perm=[0,2,1,3]>(q1)
        k0 = MatMul(x, wk)
        k1 = Reshape(k0, split_k)
        k2 = Transpose<perm=[0,2,3,1]>(k1)
        k3 = Unsqueeze(k2, axes)
        k4 = Expand(k3, repeat)
        k = Reshape(k4, merge)
        y = MatMul(q, k)
    }}""".format()
    weights = {"wq": normal(8, 6 * 4), "wk": normal(8, 2 * 4)}
    removed: Removed = {"wq": {1: [*range(4, 8), *range(16, 20)]}}  # the second query of each key

    def with_sizes(repeats: int) -> Arrays:
        return {
            "split_q": np.array([2, 5, 2 * repeats, 4]),
            "split_k": np.array([2, 5, 2, 4]),
            "axes": np.array([2]),
            "repeat": np.array([2, 2, repeats, 4, 5]),
            "merge": np.array([2, 2 * repeats, 4, 5]),
        }

    twin = masked_twin(model(body, {**weights, **with_sizes(3)}), TOKENS, arrays(removed))
    expected = answers(body, {**sliced(weights, removed), **with_sizes(2)}, TOKENS)
    assert twin["y"].shape == (2, 4, 5, 5)
    np.testing.assert_allclose(twin["y"], expected["y"], rtol=1e-4, atol=1e-5)


def test_gather_from_an_embedding() -> None:
    body = """m (int64[2,5] i) => (float[2,5,3] y) {
        e = Gather(table, i)
        y = MatMul(e, w)
    }"""
    weights = {"table": normal(11, 6), "w": normal(6, 3)}
    feeds = {"i": np.arange(10).reshape(2, 5)}
    check(body, weights, {"table": {1: [4]}, "w": {0: [4]}}, feeds)


def test_einsum() -> None:
    body = """m (float[2,5,8] x) => (float[2,5,3] y) {
        a = Einsum<equation="bti,ihd->bthd">(x, w0)
        y = Einsum<equation="...hd,hdo->...o">(a, w1)
    }"""
    weights = {"w0": normal(8, 2, 4), "w1": normal(2, 4, 3)}
    check(body, weights, {"w0": {1: [1], 2: [0, 2]}, "w1": {0: [1], 1: [0, 2]}}, TOKENS)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("start", ["", "h0 = ConstantOfShape(start)"])
def test_recurrent_layers(kind: str, gates: int, start: str) -> None:
    body = f"""m (float[5,2,8] x) => (float[5,1,2,3] y) {{{{
        {start}
        a = {kind}<hidden_size={{}}>(x, w, r, b, {", h0" if start else ""})
        y = MatMul(a, o)
    }}}}"""
    size, gone = 4, [1, 3]
    weights = {
        "w": normal(1, gates * size, 8),
        "r": normal(1, gates * size, size),
        "b": normal(1, 2 * gates * size),
        "o": normal(size, 3),
    }
    rows = [g * size + i for g in range(gates) for i in gone]
    both = [g * size + i for g in range(2 * gates) for i in gone]
    removed: Removed = {
        "w": {1: rows},
        "r": {1: rows, 2: gone},
        "b": {1: both},
        "o": {0: gone},
    }
    full = {"start": np.array([1, 2, size])} if start else {}
    small = {"start": np.array([1, 2, size - 2])} if start else {}
    feeds = {"x": normal(5, 2, 8)}
    twin = masked_twin(model(body.format(size), {**weights, **full}), feeds, arrays(removed))
    expected = answers(body.format(size - 2), {**sliced(weights, removed), **small}, feeds)
    np.testing.assert_allclose(twin["y"], expected["y"], rtol=1e-4, atol=1e-5)


def test_an_operator_with_a_function_body() -> None:
    body = """m (float[2,5,8] x) => (float[2,5,8] y) {{
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        a = Attention<q_num_heads={0}, kv_num_heads={0}>(q, k, v)
        y = MatMul(a, wo)
    }}"""
    weights = {n: normal(8, 12, seed=i) for i, n in enumerate(("wq", "wk", "wv"))}
    weights["wo"] = normal(12, 8)
    gone = [4, 5, 6, 7]
    removed: Removed = {"wq": {1: gone}, "wk": {1: gone}, "wv": {1: gone}, "wo": {0: gone}}
    check(body.format(3), weights, removed, TOKENS, body.format(2), opset=23)
