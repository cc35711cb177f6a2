"""How much answers depend on a unit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import proto, units_of
from planted import calibration

from onnxprune.calibration.statistics import measure
from onnxprune.refit import sensitivity
from onnxprune.refit.sensitivity import _distance

TEXT = """(float[N,6] x) => (float[N,3] y) {
    p = MatMul(x, a)
    u = Relu(p)
    q = MatMul(x, b)
    v = Relu(q)
    s = MatMul(u, c)
    t = MatMul(v, d)
    y = Add(s, t)
}"""


def _model() -> object:
    random = np.random.default_rng(0)
    shapes = {"a": (6, 12), "b": (6, 12), "c": (12, 3), "d": (12, 3)}
    arrays = {k: random.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    arrays["d"] *= 0.01  # the second branch hardly matters
    arrays["a"][:, 6:] = arrays["a"][:, :6]
    arrays["a"] = arrays["a"] + 0.3 * random.standard_normal((6, 12)).astype(np.float32)
    return proto(TEXT, **arrays)


def test_what_hardly_matters_is_told_from_what_does() -> None:
    model = _model()
    units = units_of(model)
    scores = {unit.name: np.arange(12.0) for unit in units.mutable}
    inputs = calibration(model)
    found = sensitivity(units, scores, inputs, measure(units.graph, inputs))
    first, second = (found[unit.name] for unit in units.mutable)
    assert first > 100 * second > 0
    assert all(unit.mask.all() for unit in units)


def test_copies_cost_nothing() -> None:
    random = np.random.default_rng(1)
    a = random.standard_normal((6, 6)).astype(np.float32)
    model = proto(
        """(float[N,6] x) => (float[N,3] y) {
            p = MatMul(x, a)
            u = Relu(p)
            y = MatMul(u, c)
        }""",
        a=np.concatenate([a, a], axis=1),
        c=random.standard_normal((12, 3)).astype(np.float32),
    )
    units = units_of(model)
    (unit,) = units.mutable
    scores = np.where(np.arange(12) < 6, 1.0, 0.0)
    inputs = calibration(model)
    statistics = measure(units.graph, inputs)
    found = sensitivity(units, {unit.name: scores}, inputs, statistics)
    assert found[unit.name] < 1e-4


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (4, 3), (4, 1)])
def test_biases_of_any_form(shape: tuple[int, ...]) -> None:
    """Those that are no vector of the results are not made up for."""
    random = np.random.default_rng(0)
    model = proto(
        """(float[4,6] x) => (float[4,3] y) {
            p = MatMul(x, a)
            u = Relu(p)
            y = Gemm(u, c, b)
        }""",
        "a 6 12, c 12 3",
        b=random.standard_normal(shape).astype(np.float32),
    )
    units = units_of(model)
    inputs = calibration(model)
    scores = {unit.name: np.arange(12.0) for unit in units.mutable}
    found = sensitivity(units, scores, inputs, measure(units.graph, inputs))
    assert 0 < found[units.mutable[0].name] < 1


def test_answers_that_are_lost_are_the_farthest() -> None:
    whole = np.array([[1.0, 2.0], [3.0, np.nan]])
    near, lost = whole + 0.1, np.full((2, 2), np.nan)
    assert 0 < _distance([[whole]], [[near]], [1.0]) < 0.1
    assert _distance([[whole]], [[lost]], [1.0]) > 1000
    assert _distance([[lost]], [[near]], [1.0]) == 0  # the original answers nothing there
