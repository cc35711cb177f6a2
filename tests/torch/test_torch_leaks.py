"""Removed slices that contradict each other are found, and named."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, Removed, arrays, model, normal  # noqa: E402

from onnxprune.torch import BadFeeds, BadRemoval, LeakError, masked_twin  # noqa: E402
from onnxprune.torch.errors import UnsupportedOperator  # noqa: E402

pytestmark = pytest.mark.torch

FEEDS = {"x": normal(2, 3, 6, 6)}

NET = """m (float[2,3,6,6] x) => (float[2,2,6,6] y) {
    [first] a = Conv(x, w0, b0)
    [norm] n = BatchNormalization(a, s, t, mean, var)
    [second] b = Conv(n, w1)
    [sum] c = Add(n, b)
    [depth] d = Conv<group=6>(c, w2)
    [last] y = Conv(d, w3)
}"""


def weights() -> Arrays:
    vectors = {n: np.abs(normal(6, seed=i)) for i, n in enumerate(("b0", "s", "t", "mean", "var"))}
    return vectors | {
        "w0": normal(6, 3, 1, 1),
        "w1": normal(6, 6, 1, 1),
        "w2": normal(6, 1, 1, 1),
        "w3": normal(2, 6, 1, 1),
    }


def whole() -> Removed:
    removed: Removed = {n: {0: [1, 3]} for n in ("w0", "b0", "s", "t", "mean", "var", "w2")}
    return removed | {"w1": {0: [1, 3], 1: [1, 3]}, "w3": {1: [1, 3]}}


def run(removed: Removed) -> Arrays:
    return masked_twin(model(NET, weights()), FEEDS, arrays(removed))


def test_consistent_slices_do_not_leak() -> None:
    assert run(whole())["y"].shape == (2, 2, 6, 6)


@pytest.mark.parametrize(
    ("name", "axis", "node"),
    [
        ("w0", 0, "first"),
        ("b0", 0, "first"),
        ("s", 0, "norm"),
        ("t", 0, "norm"),
        ("mean", 0, "norm"),
        ("var", 0, "norm"),
        ("w1", 1, "second"),
        ("w1", 0, "sum"),
        ("w2", 0, "depth"),
        ("w3", 1, "last"),
    ],
)
@pytest.mark.parametrize("change", ["keep all", "keep one", "lose one more", "lose another"])
def test_one_slice_that_disagrees(name: str, axis: int, node: str, change: str) -> None:
    removed = {n: dict(axes) for n, axes in whole().items()}
    removed[name][axis] = {
        "keep all": [],
        "keep one": [3],
        "lose one more": [1, 3, 4],
        "lose another": [1, 4],
    }[change]
    with pytest.raises(LeakError, match=f"node '{node}'.*input"):
        run(removed)


def test_only_a_producer() -> None:
    with pytest.raises(LeakError, match="node 'first'"):
        run({"w0": {0: [1]}})


def test_only_a_consumer() -> None:
    with pytest.raises(LeakError, match=r"Conv node 'last'.*input 0 'd'"):
        run({"w3": {1: [1]}})


@pytest.mark.parametrize(
    ("nodes", "removed", "node"),
    [
        ("[j] c = Concat<axis=1>(a, x) y = Neg(c)", {"w": {0: [0]}}, None),
        ("[j] c = Concat<axis=0>(a, b) y = Neg(c)", {"w": {0: [0]}}, "j"),
        ("[j] c = Mul(a, v) y = Neg(c)", {"w": {0: [0]}}, "j"),
        ("[j] c = Mul(a, v) y = Neg(c)", {"v": {0: [0]}}, "j"),
        ("[j] c = Mul(a, one) y = Neg(c)", {"w": {0: [0]}}, None),
        ("[j] y = ArgMax<axis=1>(a)", {"w": {0: [0]}}, "j"),
        ("[j] y, i = TopK<axis=1>(a, k)", {"w": {0: [0]}}, "j"),
        ("[j] c = PRelu(a, v) y = Neg(c)", {"w": {0: [0]}}, "j"),
        ("[j] c = InstanceNormalization(a, z, z) y = Neg(c)", {"w": {0: [0]}}, "j"),
        ('[j] y = Pad<mode="reflect">(a, pads)', {"w": {0: [0]}}, "j"),
        ("t = Expand(token, shape) [j] y = Concat<axis=2>(t, a)", {"w": {0: [0]}}, "j"),
        (
            "t = Expand(token, shape) [j] y = Concat<axis=2>(t, a)",
            {"w": {0: [0]}, "token": {1: [0]}},
            None,
        ),
        ("f = Reshape(a, flat) y = Neg(f)", {"w": {0: [0]}}, None),
        ("f = Reshape(a, odd) y = Neg(f)", {"w": {0: [0]}}, "output 'y'"),
    ],
)
def test_where_operands_meet(nodes: str, removed: Removed, node: str | None) -> None:
    body = f"""m (float[2,3,6,6] x) => (float[a] y) {{
        [first] a = Conv(x, w)
        [other] b = Conv(x, u)
        {nodes}
    }}"""
    values = {
        "w": normal(4, 3, 1, 1),
        "u": normal(4, 3, 1, 1),
        "v": normal(4, 1, 1),
        "z": normal(4),
        "one": np.array([2.0], np.float32),
        "k": np.array([2]),
        "pads": np.array([0, 1, 0, 0, 0, 0, 0, 0]),
        "token": normal(1, 4, 1, 1),
        "shape": np.array([2, 1, 1, 6]),
        "flat": np.array([2, -1]),
        "odd": np.array([2, 24, 6]),
    }
    values = {n: v for n, v in values.items() if n in body.replace("(", " ").replace(")", " ")}
    values["odd"] = np.array([3, 96])
    twin = model(body, {**values, "u": normal(4, 3, 1, 1)})
    if node is None:
        masked_twin(twin, FEEDS, arrays(removed))
        return
    with pytest.raises(LeakError, match=node if " " in node else f"node '{node}'"):
        masked_twin(twin, FEEDS, arrays(removed))


def test_a_ragged_weight() -> None:
    body = "m (float[2,8] x) => (float[2,4] y) { [only] y = MatMul(x, w) }"
    gone = np.zeros((8, 4), bool)
    gone[2, 1] = True
    with pytest.raises(LeakError, match="node 'only'"):
        masked_twin(model(body, {"w": normal(8, 4)}), {"x": normal(2, 8)}, {"w": gone})


def test_everything_removed() -> None:
    body = "m (float[2,8] x) => (float[2,4] y) { y = MatMul(x, w) }"
    with pytest.raises(LeakError):
        masked_twin(model(body, {"w": normal(8, 4)}), {"x": normal(2, 8)}, {"w": {1: np.arange(4)}})


def test_lstm_gates_that_disagree() -> None:
    body = "m (float[5,2,8] x) => (float[5,1,2,4] y) { [l] y = LSTM<hidden_size=4>(x, w, r) }"
    values = {"w": normal(1, 16, 8), "r": normal(1, 16, 4)}
    rows = [1, 5, 9, 13]
    good: Removed = {"w": {1: rows}, "r": {1: rows, 2: [1]}}
    feeds = {"x": normal(5, 2, 8)}
    assert masked_twin(model(body, values), feeds, arrays(good))["y"].shape == (5, 1, 2, 3)
    bad: list[Removed] = [
        {"w": {1: rows[:3]}, "r": {1: rows, 2: [1]}},
        {"w": {1: rows}, "r": {1: rows}},
        {"w": {1: rows}, "r": {1: rows[1:], 2: [1]}},
        {"r": {1: rows, 2: [1]}},
    ]
    for removed in bad:
        with pytest.raises(LeakError, match="node 'l'"):
            masked_twin(model(body, values), feeds, arrays(removed))


def test_what_is_no_parameter() -> None:
    body = "m (float[2,8] x) => (float[2,4] y) { y = MatMul(x, w) }"
    twin = model(body, {"w": normal(8, 4)})
    feeds = {"x": normal(2, 8)}
    for removed in ({"v": {0: [1]}}, {"w": {2: [1]}}, {"w": {1: [4]}}, {"w": {1: [-1]}}):
        with pytest.raises(BadRemoval):
            masked_twin(twin, feeds, arrays(removed))
    with pytest.raises(BadRemoval, match="shape"):
        masked_twin(twin, feeds, {"w": np.zeros((4, 8), bool)})
    for wrong in ({}, {**feeds, "z": normal(1)}):
        with pytest.raises(BadFeeds):
            masked_twin(twin, wrong, {})


def test_an_unknown_operator_is_named() -> None:
    body = "m (float[2,8] x) => (float[2,4] y) { [odd] y = RandomNormalLike(x) }"
    with pytest.raises(UnsupportedOperator, match="RandomNormalLike node 'odd'"):
        masked_twin(model(body, {}), {"x": normal(2, 8)}, {})
