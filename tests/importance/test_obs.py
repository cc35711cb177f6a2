"""The brain surgeon, against every removal computed by least squares."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import proto, units_of
from small import MODELS
from small_control import branches

from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import Moments, measure
from onnxprune.importance import Evidence
from onnxprune.importance.consumers import consumers
from onnxprune.importance.obs import obs
from onnxprune.units import MutableChannelUnit, Units

DAMPING = 1e-3

Block = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The damped and the plain covariance of the columns of a product, and its matrix."""


def _measured(
    model: onnx.ModelProto, samples: int = 200, **options: object
) -> tuple[Units, Evidence]:
    """Units, and what was measured with inputs that vary together."""
    units = units_of(model)
    random = np.random.default_rng(3)
    batches = []
    for _ in range(2):
        feeds = {}
        for value in model.graph.input:
            sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
            if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                feeds[value.name] = np.array([True])
                continue
            plain = random.standard_normal((samples // 2, *sizes))
            feeds[value.name] = (plain + plain.mean(axis=1, keepdims=True)).astype(np.float32)
        batches.append(feeds)
    inputs = Calibration(lambda: batches, samples)
    return units, Evidence(measure(units.graph, inputs, positions=1 << 20, **options))  # type: ignore[arg-type]


def _unit(units: Units, producer: str) -> MutableChannelUnit:
    return next(
        unit
        for unit in units.mutable
        if any(channel.tensor.name == producer for channel in unit.output_related)
    )


def _least_error(block: Block, gone: np.ndarray) -> float:
    """What the outputs lose at the least, as a part of all, without some columns.

    The minimum over all matrices without these columns of the damped square error: the trace of
    W' S W for the Schur complement S of the columns that stay.
    """
    damped, plain, matrix = block
    left = np.setdiff1d(np.arange(len(damped)), gone)
    schur = damped[np.ix_(gone, gone)]
    if len(left):
        across = damped[np.ix_(left, gone)]
        schur = schur - across.T @ np.linalg.solve(damped[np.ix_(left, left)], across)
    lost = float(np.trace(matrix[gone].T @ schur @ matrix[gone]))
    return lost / float(np.trace(matrix.T @ plain @ matrix))


def _blocks(
    unit: MutableChannelUnit, evidence: Evidence
) -> list[tuple[Block, dict[int, np.ndarray]]]:
    """The products of a unit, and the columns of each channel in them."""
    assert evidence.statistics is not None
    found = []
    for consumer in consumers(unit, evidence.statistics):
        plain = consumer.covariance
        damped = plain + DAMPING * np.diagonal(plain).mean() * np.eye(len(plain))
        own = dict(zip(consumer.channels.tolist(), consumer.columns, strict=True))
        found.append(((damped, plain, consumer.matrix), own))
    return found


def _brute(unit: MutableChannelUnit, evidence: Evidence) -> np.ndarray:
    """Scores by trying all channels at each step, each time from the original's weights."""
    blocks = _blocks(unit, evidence)
    scores, gone = np.zeros(unit.num_channels), list[int]()

    def lost(channels: list[int]) -> float:
        total = 0.0
        for block, own in blocks:
            columns = [own[channel] for channel in channels if channel in own]
            if columns:
                total += _least_error(block, np.concatenate(columns))
        return total

    while len(gone) < unit.num_channels:
        rest = [channel for channel in range(unit.num_channels) if channel not in gone]
        errors = [lost([*gone, channel]) for channel in rest]
        gone.append(rest[int(np.argmin(errors))])
        scores[gone[-1]] = min(errors)
    return scores


CASES = {
    "vectors": (
        """(float[N,6] x) => (float[N,3] y) { h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) }""",
        "w0 6 7, w1 7 3",
    ),
    "weights that are turned": (
        """(float[N,6] x) => (float[N,3] y) {
            h = Gemm<transB=1>(x, w0, b0) r = Relu(h) y = Gemm<transB=1>(r, w1, b1)
        }""",
        "w0 7 6, b0 7, w1 3 7, b1 3",
    ),
    "a kernel": (
        """(float[N,3,5,5] x) => (float[N,2,3,3] y) {
            h = Conv(x, w0) r = Relu(h) y = Conv(r, w1)
        }""",
        "w0 5 3 1 1, w1 2 5 3 3",
    ),
    "a transposed kernel": (
        """(float[N,3,3,3] x) => (float[N,2,6,6] y) {
            h = Conv(x, w0) r = Relu(h) y = ConvTranspose<strides=[2,2]>(r, w1)
        }""",
        "w0 5 3 1 1, w1 5 2 2 2",
    ),
    "a flatten": (
        """(float[N,3,2,2] x) => (float[N,4] y) {
            h = Conv(x, w0) r = Relu(h) f = Flatten(r) y = MatMul(f, w1)
        }""",
        "w0 5 3 1 1, w1 20 4",
    ),
    "two consumers": (
        """(float[N,6] x) => (float[N,3] y, float[N,4] z) {
            h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) s = Sigmoid(h) z = MatMul(s, w2)
        }""",
        "w0 6 7, w1 7 3, w2 7 4",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_are_the_least_errors_of_trying_all(name: str) -> None:
    units, evidence = _measured(proto(*CASES[name]))
    unit = _unit(units, "w0")
    scores = obs(unit, evidence)
    wanted = _brute(unit, evidence)
    np.testing.assert_array_equal(np.argsort(scores), np.argsort(wanted))
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_first_to_go_is_the_cheapest_and_errors_only_grow(name: str) -> None:
    units, evidence = _measured(proto(*CASES[name]))
    unit = _unit(units, "w0")
    curve = np.sort(obs(unit, evidence))
    assert curve[0] > 0
    assert (np.diff(curve) >= 0).all()
    whole = sum(
        _least_error(block, np.arange(len(block[0]))) for block, _ in _blocks(unit, evidence)
    )
    np.testing.assert_allclose(curve[-1], whole, rtol=1e-5)


def test_a_copy_goes_first_and_costs_nothing() -> None:
    random = np.random.default_rng(0)
    w0 = random.standard_normal((6, 7)).astype(np.float32)
    w0[:, 4] = w0[:, 1]
    text, _ = CASES["vectors"]
    units, evidence = _measured(proto(text, "w1 7 3", w0=w0))
    scores = obs(_unit(units, "w0"), evidence)
    assert int(np.argmin(scores)) in (1, 4)
    assert scores.min() < 1e-3 < np.sort(scores)[1]


def test_what_is_constant_goes_first() -> None:
    random = np.random.default_rng(0)
    w0 = random.standard_normal((6, 5)).astype(np.float32)
    w0[:, 2] = 0
    b0 = np.full(5, 9, np.float32)
    text = """(float[N,6] x) => (float[N,3] y) {
        h = Gemm(x, w0, b0) r = Relu(h) y = MatMul(r, w1)
    }"""
    units, evidence = _measured(proto(text, "w1 5 3", w0=w0, b0=b0))
    scores = obs(_unit(units, "w0"), evidence)
    assert int(np.argmin(scores)) == 2
    assert scores[2] < 1e-2


def test_groups_count_for_the_channels_that_they_take() -> None:
    model = proto(
        """(float[N,3,5,5] x) => (float[N,4,3,3] y) {
            h = Conv(x, w0) r = Relu(h) y = Conv<group=2>(r, w1)
        }""",
        "w0 6 3 1 1, w1 4 3 3 3",
    )
    units, evidence = _measured(model)
    unit = _unit(units, "w0")
    assert len(_blocks(unit, evidence)) == 2
    scores = obs(unit, evidence)
    np.testing.assert_allclose(scores, _brute(unit, evidence), rtol=1e-5)


def test_a_unit_of_whole_groups_is_scored() -> None:
    units, evidence = _measured(MODELS["grouped"](), samples=40)
    for unit in units.mutable:
        scores = obs(unit, evidence)
        assert scores.shape == (unit.num_channels,)
        assert (scores > 0).all()


def test_without_covariances_columns_count_one_by_one() -> None:
    text, shapes = CASES["vectors"]
    units, evidence = _measured(proto(text, shapes), memory=0)
    unit = _unit(units, "w0")
    assert evidence.statistics is not None
    (moments,) = (evidence.statistics.moments[name] for name in ["MatMul_2"])
    assert isinstance(moments, Moments)
    assert moments.covariance is None
    weight = units.graph.initializers["w1"].const_value
    assert weight is not None
    size = np.square(weight.numpy().astype(float)).sum(axis=1)
    variance = moments.variance[0]
    costs = (variance + DAMPING * variance.mean()) * size / (variance * size).sum()
    order = np.argsort(costs)
    wanted = np.zeros(7)
    wanted[order] = np.cumsum(costs[order])
    np.testing.assert_allclose(obs(unit, evidence), wanted, rtol=1e-6)


def test_without_products_the_size_of_the_weights_counts() -> None:
    """What only nodes inside others take."""
    units, evidence = _measured(branches(), samples=20)
    unit = _unit(units, "w0")
    weights = units.graph.initializers["w0"].const_value
    assert weights is not None
    wanted = np.square(weights.numpy().astype(float)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(obs(unit, evidence), wanted, rtol=1e-5)


def test_dead_layers_are_scored_too() -> None:
    text, _ = CASES["vectors"]
    model = proto(text, "w1 7 3", w0=np.zeros((6, 7), np.float32))
    units, evidence = _measured(model)
    scores = obs(_unit(units, "w0"), evidence)
    assert np.isfinite(scores).all()
