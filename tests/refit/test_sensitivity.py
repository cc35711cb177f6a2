"""How much answers depend on a unit."""

from __future__ import annotations

import numpy as np
from helpers import proto, units_of
from planted import calibration

from onnxprune.calibration.statistics import measure
from onnxprune.refit import sensitivity

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
