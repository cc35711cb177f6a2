"""Scores from activations, against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import Arrays, feeds_of, proto, units_of
from small import MODELS
from small_control import branches

from onnxprune.budget import ratio
from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import measure
from onnxprune.choice import choose
from onnxprune.errors import OnnxPruneError
from onnxprune.importance import Evidence, find_importance
from onnxprune.importance.activation import apoz, energy, variance
from onnxprune.importance.registry import Importance
from onnxprune.units import MutableChannelUnit, Units

ONE = """(float[N,3] x) => (float[N,2] y) {
    h = MatMul(x, w0)
    r = Relu(h)
    y = MatMul(r, w1)
}"""
X = np.array([[1, -1, 2], [3, 1, 2], [-1, -1, 2], [1, 3, 2]], np.float32)
"""After the relu: 1 3 0 1; 0 1 0 3; 2 2 2 2."""
W1 = np.array([[1, 2], [0, 3], [2, 0]], np.float32)

BOTH = """(float[N,3] x) => (float[N,2] y, float[N,1] z) {
    h = MatMul(x, w0)
    r = Relu(h)
    y = MatMul(r, w1)
    n = Neg(r)
    z = MatMul(n, w2)
}"""
W2 = np.array([[1], [1], [0]], np.float32)


def _measured(model: onnx.ModelProto, batches: list[Arrays]) -> tuple[Units, Evidence]:
    units = units_of(model)
    inputs = Calibration(lambda: batches, sum(len(feeds["x"]) for feeds in batches))
    return units, Evidence(measure(units.graph, inputs, positions=1 << 20))


def _by_hand(text: str, **weights: np.ndarray) -> tuple[MutableChannelUnit, Evidence]:
    """A model whose first layer hands its inputs on."""
    model = proto(text, w0=np.eye(3, dtype=np.float32), **weights)
    units, evidence = _measured(model, [{"x": X[:1]}, {"x": X[1:]}])
    (unit,) = units.mutable
    return unit, evidence


ENERGY = np.array([11 / 4 * 5, 10 / 4 * 9, 4 * 4])
VARIANCE = np.array([(11 / 4 - (5 / 4) ** 2) * 5, (10 / 4 - 1) * 9, 0])
APOZ = np.array([0.75, 0.5, 1])


@pytest.mark.parametrize(
    ("score", "first", "second"),
    [
        (energy, ENERGY, [11 / 4, 10 / 4, 0]),
        (variance, VARIANCE, [11 / 4 - (5 / 4) ** 2, 10 / 4 - 1, 0]),
        (apoz, APOZ, APOZ),
    ],
    ids=["energy", "variance", "apoz"],
)
def test_scores_are_those_of_the_formula(
    score: Importance, first: np.ndarray, second: np.ndarray
) -> None:
    unit, evidence = _by_hand(ONE, w1=W1)
    np.testing.assert_allclose(score(unit, evidence), first / first.sum(), atol=1e-6)
    unit, evidence = _by_hand(BOTH, w1=W1, w2=W2)  # each consumer counts the same
    wanted = first / first.sum() + np.array(second) / np.sum(second)
    np.testing.assert_allclose(score(unit, evidence), wanted, atol=1e-6)


def test_all_taps_and_all_copies_of_a_channel_count() -> None:
    model = proto(
        """(float[N,3,3,3] x) => (float[N,2,2,2] y) {
            r = Conv(x, w0)
            y = Conv(r, w1)
        }""",
        "w1 2 3 2 2",
        w0=np.eye(3, dtype=np.float32)[:, :, None, None],
    )
    feeds = feeds_of(model, 4)
    units, evidence = _measured(model, [feeds])
    constant = units.graph.initializers["w1"].const_value
    assert constant is not None
    weight = constant.numpy().astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(feeds["x"].astype(float), (2, 2), (2, 3))
    square = np.square(windows).mean(axis=(0, 2, 3))
    wanted = (square * np.square(weight).sum(axis=0)).sum(axis=(1, 2))
    found = energy(units.mutable[0], evidence)
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-5)


@pytest.mark.parametrize("score", [energy, variance, apoz], ids=["energy", "variance", "apoz"])
@pytest.mark.parametrize("name", ["grouped", "flatten", "transposed", "concat", "residual"])
def test_every_unit_of_a_model_is_scored(name: str, score: Importance) -> None:
    model = MODELS[name]()
    units, evidence = _measured(model, [feeds_of(model, 4)])
    assert units.mutable
    for unit in units.mutable:
        scores = score(unit, evidence)
        assert scores.shape == (unit.num_channels,)
        assert (scores >= 0).all()
        assert scores.any()


@pytest.mark.parametrize("score", [energy, variance, apoz], ids=["energy", "variance", "apoz"])
def test_without_products_the_size_of_the_weights_counts(score: Importance) -> None:
    model = branches()
    feeds = {**feeds_of(model, 4), "flag": np.array([True])}
    units, evidence = _measured(model, [feeds])
    unit = units.mutable[0]
    weights = units.graph.initializers["w0"].const_value
    assert weights is not None
    wanted = np.square(weights.numpy().astype(float)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(score(unit, evidence), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["energy", "variance", "apoz", "obs"])
def test_activations_must_be_measured_first(name: str) -> None:
    units = units_of(MODELS["chain"]())
    with pytest.raises(OnnxPruneError, match="needs activations; give calibration inputs"):
        find_importance(name)(units.mutable[0])


@pytest.mark.parametrize("name", ["energy", "variance", "apoz", "obs"])
def test_the_silent_half_of_a_layer_is_what_goes(name: str) -> None:
    w0 = np.random.default_rng(0).standard_normal((8, 3, 1, 1)).astype(np.float32)
    silent = [1, 2, 5, 7]
    b0 = np.full(8, 2, np.float32)
    w0[silent], b0[silent] = 1e-3 * w0[silent], -5
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0) r = Relu(a) y = Conv<pads=[1,1,1,1]>(r, w1)
        }""",
        "w1 2 8 3 3",
        w0=w0,
        b0=b0,
    )
    units, evidence = _measured(model, [feeds_of(model, 8)])
    choose(units, ratio(0.5), importance=name, evidence=evidence)
    np.testing.assert_array_equal(np.flatnonzero(~units.mutable[0].mask), silent)
