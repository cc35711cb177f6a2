"""Without inputs: channels that stay stand for those that are gone, by the weights alone."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import proto, to_proto
from planted import EXACT, Kept, chosen, error, weights, with_copies, with_weights
from small import MODELS
from test_recovery import CASES

import onnxprune as op
from onnxprune.graph import Graph, load
from onnxprune.refit import Options, Refit, merge
from onnxprune.refit.guess import Guess
from onnxprune.rewrite import prune
from onnxprune.units import Units
from onnxprune.verification import verify

RELU = """(float[N,6] x) => (float[N,5] y) {
    h = Gemm(x, w0, b0)
    r = Relu(h)
    y = Gemm(r, w1, b1)
}"""

MORE = {
    "filters of single channels, several of each": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                d = Conv<group=8, pads=[1,1,1,1]>(r, w1, b1)
                q = HardSwish(d)
                y = Conv(q, w2, b2)
            }""",
            "w0 8 3 1 1, b0 8, w1 16 1 3 3, b1 16, w2 2 16 1 1, b2 2",
        ),
        {"w0": [0, 1, 5, 6]},
    ),
    "an activation in pieces": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                s = Sigmoid(a)
                m = Mul(a, s)
                d = Div(m, half)
                p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(d)
                y = Conv(p, w1)
            }""",
            "w0 8 3 1 1, b0 8, w1 2 8 1 1",
            half=np.full((1, 1, 1), 2, np.float32),
        ),
        {"w0": [0, 1, 5, 6]},
    ),
    "channels side by side": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                b = Conv(x, w1, b1)
                c = Concat<axis=1>(x, r, b)
                y = Conv(c, w2)
            }""",
            "w0 8 3 1 1, b0 8, w1 4 3 1 1, b1 4, w2 2 15 1 1",
        ),
        {"w0": [0, 1, 5, 6], "w1": [0, 3]},
    ),
    "channels that change places": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                g = Gather<axis=1>(r, order)
                y = Conv(g, w1)
            }""",
            "w0 8 3 1 1, b0 8, w1 2 8 1 1",
            order=np.array([2, 0, 7, 3, 1, 6, 5, 4], np.int64),
        ),
        {"w0": [0, 1, 5, 6]},
    ),
    "channels that come to lie last": (
        proto(
            """(float[N,3,6,6] x) => (float[N,36,2] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                t = Transpose<perm=[0,2,3,1]>(r)
                f = Reshape(t, shape)
                y = MatMul(f, w1)
            }""",
            "w0 8 3 1 1, b0 8, w1 8 2",
            shape=np.array([0, 36, 8], np.int64),
        ),
        {"w0": [0, 1, 5, 6]},
    ),
}

LEFT = {
    "groups that go as a whole": "its groups go as a whole",
    "one weight in two products": "its weight serves other nodes as well",
    "one kernel in two convolutions": "its weight serves other nodes as well",
}


def _merged(model: onnx.ModelProto, kept: Kept, **options: object) -> tuple[Units, Graph, Refit]:
    units = chosen(model, kept)
    small = prune(units)
    return units, small, merge(units, small, Options(**{"ridge": EXACT, **options}))


def _planted(name: str) -> tuple[onnx.ModelProto, Kept]:
    model, kept = CASES[name][:2] if name in CASES else MORE[name]
    for producer, indices in kept.items():
        model = with_copies(model, producer, list(indices))
    return model, kept


@pytest.mark.parametrize("name", sorted({*CASES, *MORE} - {*LEFT}))
def test_copies_cost_nothing(name: str) -> None:
    units, small, done = _merged(*_planted(name))
    assert error(small, units.graph) > 0.02  # slicing alone loses something
    assert error(done.graph, units.graph) < 1e-4
    assert set(done.left.values()) <= {"its groups go as a whole"}
    assert done.samples == 0


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_so_it_is_proven(name: str) -> None:
    units, _, done = _merged(*_planted(name), ridge=1e-3)
    verify(units, done.graph).check()


@pytest.mark.parametrize("name", LEFT)
def test_nodes_that_stay_as_they_are_say_why(name: str) -> None:
    _, _, done = _merged(*_planted(name))
    assert LEFT[name] in done.left.values()


def _scaled(factor: float) -> tuple[Units, Graph, Refit]:
    """Three of six channels are the others times a factor, in front of a ReLU."""
    model = proto(RELU, "w0 6 6, b0 6, w1 6 5, b1 5")
    arrays = weights(model)
    arrays["w0"][:, 3:] = factor * arrays["w0"][:, :3]
    arrays["b0"][3:] = factor * arrays["b0"][:3]
    return _merged(with_weights(model, arrays), {"w0": [0, 1, 2]})


def test_scaled_copies_cost_nothing_behind_a_relu() -> None:
    units, small, done = _scaled(2.5)
    assert error(small, units.graph) > 0.1
    assert error(done.graph, units.graph) < 1e-4


@pytest.mark.parametrize(("between", "share"), [("Identity", -1), ("Relu", 0)])
def test_a_relu_does_not_let_opposites_stand_for_each_other(between: str, share: float) -> None:
    """Without it they would; behind it they are never there together."""
    model = proto(RELU.replace("Relu", between), "w0 6 2, w1 2 5, b1 5", b0=np.zeros(2, np.float32))
    arrays = weights(model)
    arrays["w0"][:, 1] = -arrays["w0"][:, 0]
    _, _, done = _merged(with_weights(model, arrays), {"w0": [0]})
    new = done.graph.initializers["w1"].const_value
    assert new is not None
    kept, gone = arrays["w1"]
    np.testing.assert_allclose(new.numpy()[0], kept + share * gone, atol=1e-2)


@pytest.mark.parametrize(
    ("between", "share"),
    [("GlobalAveragePool", -1), ("GlobalMaxPool", 0), ("ReduceL2<keepdims=1>", 0)],
)
def test_a_maximum_does_not_let_opposites_stand_for_each_other(between: str, share: float) -> None:
    """A mean does."""
    axes = ", axes" if between.startswith("Reduce") else ""
    model = proto(
        f"""(float[N,3,6,6] x) => (float[N,5,1,1] y) {{
            h = Conv(x, w0)
            r = {between}(h{axes})
            y = Conv(r, w1)
        }}""",
        "w0 2 3 1 1, w1 5 2 1 1",
        axes=np.array([2, 3], np.int64),
    )
    arrays = weights(model)
    arrays["w0"][1] = -arrays["w0"][0]
    _, _, done = _merged(with_weights(model, arrays), {"w0": [0]})
    new = done.graph.initializers["w1"].const_value
    assert new is not None
    kept, gone = arrays["w1"].swapaxes(0, 1)
    np.testing.assert_allclose(new.numpy()[:, 0], kept + share * gone, atol=1e-2)


def test_a_rectified_normal_has_the_arc_cosine_kernel() -> None:
    """Cho & Saul, 2009, of degree 1."""
    root = np.random.default_rng(0).standard_normal((6, 6))
    covariance = root @ root.T
    normal = Guess.normal(1, np.zeros(6), covariance)
    rectified = Guess(1, 1, np.maximum(normal.points, 0), normal.correlation)
    size = np.sqrt(np.diagonal(covariance))
    angle = np.arccos(np.clip(normal.correlation, -1, 1))
    kernel = np.sin(angle) + (np.pi - angle) * np.cos(angle)
    found = rectified.covariance + np.outer(rectified.mean, rectified.mean)
    scale = np.outer(size, size)
    np.testing.assert_allclose(found / scale, kernel / (2 * np.pi), atol=1e-3)
    np.testing.assert_allclose(normal.covariance, covariance, atol=1e-9)


def test_channels_are_followed_through_a_split() -> None:
    """Each half holds copies of its own, and goes its own way."""
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            s, t = Split<axis=1, num_outputs=2>(a)
            r = Relu(t)
            c = Conv(s, w1)
            d = Conv(r, w2)
            y = Add(c, d)
        }""",
        "w0 8 3 1 1, b0 8, w1 2 4 1 1, w2 2 4 1 1",
    )
    arrays = weights(model)
    for name in ("w0", "b0"):
        arrays[name][[2, 3, 6, 7]] = arrays[name][[0, 1, 4, 5]]
    units = op.find_units(load(with_weights(model, arrays)))
    for unit in units.mutable:
        unit.current_choice = np.arange(unit.num_channels) % 4 < 2
    small = prune(units)
    assert error(small, units.graph) > 0.1
    done = merge(units, small, Options(ridge=EXACT))
    assert error(done.graph, units.graph) < 1e-4


def test_what_is_not_understood_stays_as_it_is() -> None:
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            n = InstanceNormalization(a, scale, bias)
            y = Conv(n, w1)
        }""",
        "w0 8 3 1 1, b0 8, scale 8, bias 8, w1 2 8 1 1",
    )
    _, small, done = _merged(model, {"w0": [0, 1, 2]})
    assert done.fitted == []
    assert list(done.left.values()) == ["the weights do not tell what it takes"]
    assert error(done.graph, small) == 0


def test_wide_weights_stay_as_they_are() -> None:
    _, _, done = _merged(*_planted("a kernel over a border"), columns=8 * 9 - 1)
    assert list(done.left.values()) == ["its weight has more than 71 columns"]


def test_weights_that_are_not_finite_tell_nothing() -> None:
    model = MODELS["residual"]()
    arrays = weights(model)
    arrays["w0"][0] = np.inf
    _, _, done = _merged(with_weights(model, arrays), {"w0": [1, 2, 3]})
    assert set(done.left.values()) == {"the weights do not tell what it takes"}


def test_the_demo_model_without_any_inputs() -> None:
    """Neither for the choice nor for the weights: 69 % and 19 % right without the merge."""
    tests = op.read_dataset("models/fashion_test.npz", op.load("models/fashion.onnx"))
    labels = op.read_labels("labels", tests)
    units = op.find_units("models/fashion.onnx")
    for ratio, least in ((0.9, 0.88), (0.8, 0.8)):
        op.choose(units, op.ratio(ratio))
        small = op.prune(units)
        fit = op.refit_weights(units, small, None)
        assert (len(fit.fitted), fit.left, fit.samples) == (16, {}, 0)
        op.verify(units, fit.graph).check()
        found = [op.evaluate(graph, tests, labels).accuracy for graph in (small, fit.graph)]
        assert found[0].top1.value + 0.15 < found[1].top1.value > least


def test_other_methods_need_inputs() -> None:
    units = chosen(MODELS["residual"](), {"w0": [0, 1]})
    small = prune(units)
    with pytest.raises(op.OnnxPruneError, match=r"'mean' needs inputs .* or take 'merge'"):
        op.refit_weights(units, small, None, method="mean")
    with pytest.raises(op.OnnxPruneError, match="There is no refit 'adam'"):
        op.refit_weights(units, small, None, method="adam")
    with pytest.raises(op.OnnxPruneError, match="needs a ridge and a seed of at least 0"):
        op.refit_weights(units, small, None, ridge=-1.0)


def test_what_would_overflow_stays_as_sliced() -> None:
    half = np.random.default_rng(0).standard_normal((6, 8))
    model = proto(
        """(float16[N,6] x) => (float16[N,5] y) {
            a = MatMul(x, w0)
            r = Relu(a)
            y = MatMul(r, w1)
        }""",
        w0=(np.concatenate([half, half], axis=1) * 1e-4).astype(np.float16),
        w1=np.full((16, 5), 50000, np.float16),
    )
    units = op.find_units(model)
    units.mutable[0].set_mask(np.arange(16) < 12)
    found = merge(units, prune(units))
    assert list(found.left.values()) == ["what was found does not fit into FLOAT16"]
    assert not found.fitted


def test_nodes_that_stand_in_another_order() -> None:
    """As other tools may leave them."""
    model = proto(
        """(float[N,6] x) => (float[N,5] y, float[N,5] z) {
            h = MatMul(x, w0)
            r = Relu(h)
            y = MatMul(r, w1)
            z = MatMul(r, w2)
        }""",
        "w0 6 8, w1 8 5, w2 8 5",
    )
    units = chosen(model, {"w0": [0, 1, 2, 3]})
    small = to_proto(prune(units))
    nodes = list(small.graph.node)
    del small.graph.node[:]
    small.graph.node.extend([nodes[i] for i in (0, 1, 3, 2)])
    done = merge(units, load(small))
    assert len(done.fitted) == 2
    verify(units, done.graph).check()
