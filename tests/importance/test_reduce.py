"""From members to units, and from units to what can be compared."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import units_of
from small import MODELS

from onnxprune.errors import OnnxPruneError
from onnxprune.importance import Evidence
from onnxprune.importance.magnitude import l1
from onnxprune.importance.reduce import NORMALISATIONS, REDUCTIONS
from onnxprune.units import Units

SCORES = np.array([3.0, 1.0, 0.0, 4.0])


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["residual"]())


def _sizes(units: Units, name: str, axis: int) -> np.ndarray:
    tensor = units.graph.initializers[name].const_value
    assert tensor is not None
    return np.abs(np.moveaxis(tensor.numpy().astype(float), axis, 0)).reshape(8, -1).mean(axis=1)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("mean", lambda a, b: (a + b) / 2),
        ("sum", lambda a, b: a + b),
        ("max", np.maximum),
        ("prod", lambda a, b: a * b),
        ("first", lambda a, b: a),
    ],
)
def test_reductions(units: Units, reduction: str, expected: np.ufunc) -> None:
    (unit,) = units.mutable
    found = l1(unit, Evidence(reduction=reduction))
    wanted = expected(_sizes(units, "w0", 0), _sizes(units, "w1", 0))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert reduction in REDUCTIONS


def test_consumers_count_if_they_are_asked_for(units: Units) -> None:
    (unit,) = units.mutable
    members = [("w0", 0), ("w1", 0), ("w1", 1), ("w2", 1)]
    wanted = np.mean([_sizes(units, name, axis) for name, axis in members], axis=0)
    np.testing.assert_allclose(l1(unit, Evidence(members="all")), wanted, rtol=1e-12)


def test_what_hands_channels_through_counts_once() -> None:
    units = units_of(MODELS["grouped"]())
    depthwise = next(
        u for u in units.mutable if any(c.tensor.name == "w2" for c in u.input_related)
    )
    evidence = Evidence(members="all", reduction="sum")
    ones = evidence.reduced(depthwise, lambda weights: np.ones(len(weights)))
    members = {c.tensor.name for c in (*depthwise.output_related, *depthwise.input_related)}
    assert (ones == len({"w0", "w1", "w2", "w3"} & members)).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [3, 1, 0, 4]),
        ("mean", [1.5, 0.5, 0, 2]),
        ("sum", [0.375, 0.125, 0, 0.5]),
        ("max", [0.75, 0.25, 0, 1]),
        ("standard", [0.75, 0.25, 0, 1]),
        ("gaussian", (SCORES - 2) / np.sqrt(2.5)),
        ("median", [1.5, 0.5, 0, 2]),
        ("lamp", [3 / 7, 1 / 8, 0, 1]),
    ],
)
def test_normalisations(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(NORMALISATIONS.get(name)(SCORES), expected, rtol=1e-12)


@pytest.mark.parametrize("name", list(NORMALISATIONS))
@pytest.mark.parametrize("scores", [np.zeros(3), np.full(3, 2.0), np.array([-1.0, -3, 2])])
def test_normalisations_are_finite(name: str, scores: np.ndarray) -> None:
    found = NORMALISATIONS.get(name)(scores)
    assert found.shape == scores.shape
    assert np.isfinite(found).all()


def test_names_that_there_are_not() -> None:
    with pytest.raises(OnnxPruneError, match="no reduction 'meen'; did you mean 'mean'"):
        Evidence(reduction="meen")
    with pytest.raises(OnnxPruneError, match="no choice of members 'some'; there are: all, prod"):
        Evidence(members="some")
