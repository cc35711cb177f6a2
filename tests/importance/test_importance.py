"""What channels are worth, against formulas in numpy."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
from helpers import proto, units_of
from small import MODELS

from onnxprune import registry
from onnxprune.budget import ratio
from onnxprune.calibration import Calibration
from onnxprune.choice import choose
from onnxprune.errors import MissingExtra, OnnxPruneError
from onnxprune.importance import (
    IMPORTANCES,
    Coupled,
    Evidence,
    Gradients,
    Scores,
    find_importance,
    importance,
)
from onnxprune.importance.distance import fpgm
from onnxprune.importance.gradient import (
    GRADIENTS,
    fisher,
    fisher_diagonal,
    group_fisher,
    measure_gradients,
    taylor,
)
from onnxprune.importance.magnitude import l1, l2, lamp
from onnxprune.importance.normalization import bn_scale
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
@pytest.mark.parametrize("criterion", ["l1", "l2", "l0.5", "l3", "fpgm", "lamp", "random"])
def test_every_unit_has_a_finite_score_for_each_channel(name: str, criterion: str) -> None:
    for unit in units_of(MODELS[name]()).mutable:
        scores = find_importance(criterion)(unit)
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


@pytest.mark.parametrize("order", [0.5, 1, 2, 3.5])
def test_any_norm_has_a_name(order: float) -> None:
    units = units_of(MODELS["chain"]())
    unit = _unit(units, "net.conv0.weight")
    owned = np.abs(_weight(units, "net.conv0.weight").astype(float)).reshape(8, -1)
    expected = np.mean(owned**order, axis=1) ** (1 / order)
    np.testing.assert_allclose(find_importance(f"l{order}")(unit), expected, rtol=1e-12)


def test_the_first_two_norms_are_what_they_always_were() -> None:
    units = units_of(MODELS["residual"]())
    for unit in units.mutable:
        assert (find_importance("l1.0")(unit) == l1(unit)).all()
        assert (unit.scores() == l1(unit)).all(), "the kind of unit"
        assert (find_importance("l2.0")(unit) == l2(unit)).all()


@pytest.mark.parametrize("name", ["l0", "l-1", "linf", "lnan"])
def test_a_norm_that_is_none(name: str) -> None:
    with pytest.raises(OnnxPruneError, match="no norm of order"):
        find_importance(name)
    with pytest.raises(OnnxPruneError, match="no importance 'lmap'; did you mean 'lamp'"):
        find_importance("lmap")


def test_fpgm_is_the_mean_distance_to_the_others() -> None:
    units = units_of(MODELS["chain"]())
    rows = _weight(units, "net.conv0.weight").astype(float).reshape(8, -1)
    expected = [np.mean([np.sqrt(np.square(row - other).mean()) for other in rows]) for row in rows]
    np.testing.assert_allclose(fpgm(_unit(units, "net.conv0.weight")), expected, rtol=1e-9)


def test_what_others_can_replace_goes_first_by_fpgm() -> None:
    weight = np.zeros((6, 4), np.float32)
    weight[:3] = 1  # three of the same, and no small ones
    weight[3:] = np.eye(4, dtype=np.float32)[:3] * 9
    model = proto(
        "(float[N,4] x) => (float[N,2] y) { h = Gemm<transB=1>(x, w)\n y = MatMul(h, v) }",
        "v 6 2",
        w=weight,
    )
    (unit,) = units_of(model).mutable
    assert set(np.argsort(fpgm(unit))[:3]) == {0, 1, 2}


def test_a_weight_too_large_for_one_look_is_compared_as_a_whole() -> None:
    """Weights are read a few channels at a time, but distances are between all of them."""
    weight = np.random.default_rng(0).standard_normal((64, 8192)).astype(np.float32)
    model = proto(
        "(float[N,8192] x) => (float[N,2] y) { h = Gemm<transB=1>(x, w)\n y = MatMul(h, v) }",
        "v 64 2",
        w=weight,
    )
    (unit,) = units_of(model).mutable
    rows = weight.astype(float)
    expected = np.mean([np.sqrt(np.square(row - rows).mean(axis=1)) for row in rows], axis=1)
    np.testing.assert_allclose(fpgm(unit), expected, rtol=1e-6)


def test_lamp_ranks_as_l2_and_is_one_for_the_best() -> None:
    for unit in units_of(MODELS["residual"]()).mutable:
        scores = lamp(unit)
        assert (np.argsort(scores) == np.argsort(l2(unit))).all()
        assert scores.max() == 1


def test_the_scale_of_a_batch_normalisation() -> None:
    """A channel that is normalised twice has two scales; the mean of them counts."""
    units = units_of(MODELS["concat"]())
    scale = np.abs(_weight(units, "scale"))
    np.testing.assert_allclose(bn_scale(_unit(units, "w1")), scale[4:10], rtol=1e-6)
    twice = (scale[:4] + scale[10:]) / 2
    np.testing.assert_allclose(bn_scale(_unit(units, "w0")), twice, rtol=1e-6)


def test_no_batch_normalisation_says_what_to_do() -> None:
    unit = units_of(MODELS["chain"]()).mutable[0]
    with pytest.raises(OnnxPruneError, match=r"scales the unit 'net\.conv0.*another importance"):
        bn_scale(unit)


def test_an_importance_is_one_function() -> None:
    @importance("spread-of-this-test")
    def spread(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
        return evidence.reduced(unit, lambda weights: weights.std(axis=1))

    try:
        units = units_of(MODELS["chain"]())
        choose(units, ratio(0.5), "spread-of-this-test")
        best = np.argsort(-_weight(units, "net.conv0.weight").reshape(8, -1).std(axis=1))[:4]
        assert set(np.flatnonzero(units.mutable[0].mask)) == set(best)
    finally:
        del IMPORTANCES._items["spread-of-this-test"]


@pytest.mark.parametrize("wrong", [np.ones(3), np.full(8, np.nan), np.ones((8, 1))])
def test_an_importance_that_gives_no_scores(wrong: Scores) -> None:
    try:
        importance("wrong-of-this-test")(lambda unit, evidence: wrong)
        with pytest.raises(OnnxPruneError, match="'wrong-of-this-test' must give 8 finite numbers"):
            choose(units_of(MODELS["chain"]()), ratio(0.5), "wrong-of-this-test")
    finally:
        del IMPORTANCES._items["wrong-of-this-test"]


@pytest.mark.parametrize("name", list(IMPORTANCES))
def test_missing_evidence_says_what_to_give(name: str) -> None:
    found = IMPORTANCES.get(name)
    unit = units_of(MODELS["concat"]()).mutable[0]
    if found.needs == "weights":
        assert found(unit, Evidence()).shape == (unit.num_channels,)
        return
    with pytest.raises(OnnxPruneError, match=f"'{name}' needs {found.needs}; give calibration"):
        found(unit)
    with pytest.raises(OnnxPruneError, match=f"'{name}' needs {found.needs}; give calibration"):
        choose(units_of(MODELS["chain"]()), ratio(0.5), name)


def _measured(units: Units) -> tuple[Evidence, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    arrays = {
        name: random.standard_normal(_weight(units, name).shape).astype(np.float32)
        for name in units.graph.initializers
    }
    squared = {name: np.square(array) for name, array in arrays.items()}
    alone = {u.name: np.square(random.standard_normal((2, u.num_channels))) for u in units.mutable}
    coupled = {name: Coupled(found, found.sum(axis=0) * 3) for name, found in alone.items()}
    return Evidence(gradients=Gradients(5, arrays, squared, coupled)), arrays


def test_scores_from_gradients() -> None:
    units = units_of(MODELS["residual"]())
    evidence, gradients = _measured(units)
    unit = _unit(units, "w1")
    effects = [(gradients[w] * _weight(units, w)).reshape(8, -1) for w in ("w0", "w1")]
    expected = np.mean([np.abs(effect.sum(axis=1)) for effect in effects], axis=0)
    np.testing.assert_allclose(taylor(unit, evidence), expected, rtol=1e-5)
    expected = np.mean([np.square(effect).sum(axis=1) for effect in effects], axis=0)
    np.testing.assert_allclose(fisher_diagonal(unit, evidence), expected, rtol=1e-5)
    assert evidence.gradients is not None
    coupled = evidence.gradients.units[unit.name]
    np.testing.assert_allclose(fisher(unit, evidence), coupled.alone.mean(axis=0))
    np.testing.assert_allclose(group_fisher(unit, evidence), coupled.together)


def test_gradients_are_read_along_the_channels_of_each_group() -> None:
    units = units_of(MODELS["grouped"]())
    evidence, gradients = _measured(units)
    unit = next(unit for unit in units.mutable if unit.groups is not None)
    consumer = next(c for c in unit.input_related if c.blocks is not None)
    name = str(consumer.tensor.name)
    product = (gradients[name] * _weight(units, name)).sum(axis=(2, 3))
    assert product.shape == (12, 2), "4 groups of 3, each reads 2 channels"
    expected = np.abs(product.reshape(4, 3, 2).sum(axis=1).reshape(-1))
    unit.output_related = [consumer]
    found = taylor(unit, evidence)
    np.testing.assert_allclose(found, expected[consumer.positions[:, 0]], rtol=1e-5)


@pytest.mark.parametrize(
    ("installed", "says"),
    [
        (False, r'^Gradients need torch; install it with: pip install "onnxprune\[torch\]"$'),
        (True, r"which is installed, but .* entry point 'onnxprune.gradients' is missing or does"),
    ],
)
def test_nobody_to_measure_gradients(
    monkeypatch: pytest.MonkeyPatch, installed: bool, says: str
) -> None:
    """Torch is missing, or this package was installed before it had its part for it."""
    monkeypatch.setattr(GRADIENTS, "_items", {})
    monkeypatch.setattr(GRADIENTS, "_discovered", False)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    spec = ModuleSpec("torch", None) if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    units = units_of(MODELS["chain"]())
    with pytest.raises(MissingExtra, match=says):
        measure_gradients(units, Calibration(lambda: [], 0))
