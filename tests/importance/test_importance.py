"""What channels are worth, against formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import proto, units_of
from small import MODELS

from onnxprune.errors import OnnxPruneError
from onnxprune.importance import IMPORTANCES, importance
from onnxprune.importance.magnitude import l1, l2
from onnxprune.importance.random import random
from onnxprune.units import MutableChannelUnit, Units


def _weight(units: Units, name: str) -> np.ndarray:
    tensor = units.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def _unit(units: Units, producer: str) -> MutableChannelUnit:
    return next(
        unit
        for unit in units.mutable
        if any(c.tensor.name == producer for c in unit.output_related)
    )


def test_l1_is_the_mean_absolute_weight_of_each_channel() -> None:
    units = units_of(MODELS["chain"]())
    expected = np.abs(_weight(units, "net.conv0.weight")).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(l1(_unit(units, "net.conv0.weight")), expected, rtol=1e-5)


def test_l2_is_the_root_of_the_mean_square() -> None:
    units = units_of(MODELS["chain"]())
    expected = np.sqrt((_weight(units, "net.conv1.weight").astype(float) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(l2(_unit(units, "net.conv1.weight")), expected, rtol=1e-5)


def test_producers_count_alike_whatever_their_size() -> None:
    units = units_of(MODELS["residual"]())
    expected = np.mean([np.abs(_weight(units, w)).mean(axis=(1, 2, 3)) for w in ("w0", "w1")], 0)
    np.testing.assert_allclose(l1(_unit(units, "w1")), expected, rtol=1e-5)


def test_biases_do_not_count_whatever_they_are_called() -> None:
    """A huge bias does not make a channel important."""
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, "stem.weight", shift)
            r = Relu(a)
            y = Conv(r, w1)
        }""",
        "stem.weight 8 3 1 1, w1 2 8 1 1",
        shift=np.arange(8, dtype=np.float32) * 100,
    )
    units = units_of(model)
    expected = np.abs(_weight(units, "stem.weight")).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(l1(_unit(units, "stem.weight")), expected, rtol=1e-5)


def test_a_normalisation_is_no_producer() -> None:
    units = units_of(MODELS["concat"]())
    expected = np.abs(_weight(units, "w1")).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(l1(_unit(units, "w1")), expected, rtol=1e-5)


def test_a_transposed_weight_is_read_along_its_channels() -> None:
    units = units_of(MODELS["linear"]())
    np.testing.assert_allclose(
        l1(units.mutable[0]), np.abs(_weight(units, "w0")).mean(axis=0), rtol=1e-5
    )


def test_each_channel_of_a_flattened_map_owns_its_rows() -> None:
    units = units_of(MODELS["flatten"]())
    unit = units.mutable[0]
    consumer = next(c for c in unit.input_related if c.tensor.name == "w1")
    sums, weight = consumer.reduce(lambda owned: owned.sum(axis=1)), _weight(units, "w1")
    assert sums is not None
    np.testing.assert_allclose(sums[3], weight[12:16].sum(), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("criterion", list(IMPORTANCES))
def test_every_unit_has_a_finite_score_for_each_channel(name: str, criterion: str) -> None:
    for unit in units_of(MODELS[name]()).mutable:
        scores = IMPORTANCES.get(criterion)(unit)
        assert scores.shape == (unit.num_channels,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()


def test_random_scores_are_the_same_in_every_run() -> None:
    first, second = (units_of(MODELS["chain"]()) for _ in range(2))
    np.testing.assert_array_equal(random(first.mutable[0]), random(second.mutable[0]))
    assert not np.array_equal(random(first.mutable[0]), random(first.mutable[1])[:8])


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="importance 'l1' is registered twice"):
        importance("l1")(l2)
    with pytest.raises(OnnxPruneError, match="no importance 'L1'"):
        IMPORTANCES.get("L1")
