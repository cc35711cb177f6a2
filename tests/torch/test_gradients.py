"""Gradients in the interpreter, against gradients of the same model written in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from helpers import feeds_of, ints, proto, units_of
from small import MODELS

from onnxprune.budget import macs
from onnxprune.calibration import Calibration
from onnxprune.choice import choose
from onnxprune.errors import OnnxPruneError
from onnxprune.importance import IMPORTANCES, Evidence, measure_gradients
from onnxprune.units import Units

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from onnxprune.torch.gradients import gradients  # noqa: E402 - behind the skip

Tensors = Mapping[str, "torch.Tensor"]

RESIDUAL = MODELS["residual"]


def _calibration(model: object = None, size: int = 4, seeds: int = 2) -> Calibration:
    model = RESIDUAL() if model is None else model
    return Calibration(
        lambda: [feeds_of(model, size, seed) for seed in range(seeds)],  # type: ignore[arg-type]
        size * seeds,
    )


def _residual(x: torch.Tensor, w: Tensors) -> torch.Tensor:
    conv = torch.nn.functional.conv2d
    a = conv(x, w["w0"], w["b0"])
    return conv(a + conv(a.relu(), w["w1"], w["b1"], padding=1), w["w2"])


def _by_sample(loss: Callable[[torch.Tensor], torch.Tensor]) -> list[dict[str, np.ndarray]]:
    """The gradients of each sample."""
    arrays = units_of(RESIDUAL()).graph.initializers
    weights = {
        name: torch.tensor(value.const_value.numpy(), requires_grad=True)  # type: ignore[union-attr]
        for name, value in arrays.items()
    }
    found = []
    for feeds in _calibration():
        for x in torch.tensor(feeds["x"]):
            grads = torch.autograd.grad(loss(_residual(x[None], weights)), list(weights.values()))
            found.append({n: g.numpy() for n, g in zip(weights, grads, strict=True)})
    return found


def test_means_and_squares_over_samples() -> None:
    found = gradients(units_of(RESIDUAL()), _calibration())
    expected = _by_sample(lambda y: y.square().sum() / 2)
    assert found.samples == len(expected) == 8
    for name in ("w0", "b0", "w1", "b1", "w2"):
        each = np.stack([sample[name] for sample in expected])
        np.testing.assert_allclose(found.mean[name], each.mean(axis=0), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.squared[name], np.square(each).mean(axis=0), rtol=1e-4)


def test_effects_of_channels_are_those_of_scaling_what_consumers_read() -> None:
    units = units_of(RESIDUAL())
    found = gradients(units, _calibration())
    (unit,) = units.mutable
    arrays = {n: v.const_value.numpy() for n, v in units.graph.initializers.items()}  # type: ignore[union-attr]
    effects = np.stack(
        [
            [(sample[name] * arrays[name]).sum(axis=(0, 2, 3)) for name in ("w1", "w2")]
            for sample in _by_sample(lambda y: y.square().sum() / 2)
        ]
    )
    coupled = found.units[unit.name]
    np.testing.assert_allclose(coupled.alone, np.square(effects).mean(axis=0), rtol=1e-4)
    together = np.square(effects.sum(axis=1)).mean(axis=0)
    np.testing.assert_allclose(coupled.together, together, rtol=1e-4)


def test_a_loss_of_ones_own() -> None:
    found = gradients(units_of(RESIDUAL()), _calibration(), lambda outputs: outputs["y"].sum())
    expected = np.mean([sample["w1"] for sample in _by_sample(lambda y: y.sum())], axis=0)
    np.testing.assert_allclose(found.mean["w1"], expected, rtol=1e-4, atol=1e-4)


def test_drawn_classes_give_the_fisher_information_of_a_linear_classifier() -> None:
    """Of a logit, that is p (1 - p); with the square of the input."""
    model = proto(
        "(float[N,3] x) => (float[N,2] y) { h = MatMul(x, a)\n y = MatMul(h, b) }",
        a=np.eye(3, 4, dtype=np.float32),
        b=np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32),
    )
    units = units_of(model)
    x = np.array([[1, -0.5, 2]], np.float32)
    calibration = Calibration(lambda: [{"x": np.repeat(x, 2000, axis=0)}], 2000)
    found = gradients(units, calibration, "classes")
    tensor = units.graph.initializers["b"].const_value
    assert tensor is not None
    logits = (x @ tensor.numpy()[:3])[0].astype(float)
    p = np.exp(logits)[0] / np.exp(logits).sum()
    expected = np.outer(np.square([1, -0.5, 2, 0]), [p * (1 - p)] * 2)
    np.testing.assert_allclose(found.squared["b"], expected, rtol=0.15)
    again = gradients(units, calibration, "classes")
    np.testing.assert_array_equal(again.squared["b"], found.squared["b"])


def test_the_random_numbers_of_others_stay_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    gradients(units_of(MODELS["linear"]()), _calibration(MODELS["linear"]()), "classes")
    assert torch.rand(1) == before


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_unit_gets_scores(name: str) -> None:
    model = MODELS[name]()
    units = units_of(model)
    evidence = Evidence(gradients=gradients(units, _calibration(model, 3, 1)))
    for unit in units.mutable:
        for criterion in ("taylor", "fisher", "fisher-diagonal", "group-fisher"):
            scores = IMPORTANCES.get(criterion)(unit, evidence)
            assert (scores >= 0).all()


def test_what_makes_no_difference_goes_first() -> None:
    """Channels that the next layer does not read, however large their weights."""
    weight = np.ones((8, 3, 1, 1), np.float32)
    weight[:4] *= 100
    reading = np.random.default_rng(1).standard_normal((2, 8, 1, 1)).astype(np.float32)
    reading[:, :4] = 0
    model = proto(
        "(float[N,3,4,4] x) => (float[N,2,4,4] y) { a = Conv(x, w0)\n y = Conv(a, w1) }",
        w0=weight,
        w1=reading,
    )
    for criterion in ("taylor", "fisher", "fisher-diagonal", "group-fisher"):
        units = units_of(model)
        evidence = Evidence(gradients=gradients(units, _calibration(model)))
        choose(units, macs(0.5), criterion, evidence=evidence)
        assert np.flatnonzero(units.mutable[0].mask).tolist() == [4, 5, 6, 7]


def test_a_batch_that_cannot_be_taken_apart_is_one_sample() -> None:
    model = proto(
        "(float[4,3] x) => (float[4,2] y) { h = MatMul(x, a)\n y = MatMul(h, b) }",
        "a 3 6, b 6 2",
    )
    assert gradients(units_of(model), _calibration(model, 4, 3)).samples == 3


def test_what_cannot_be_measured() -> None:
    units = units_of(RESIDUAL())
    with pytest.raises(OnnxPruneError, match="no loss 'square'; there are: classes, squares"):
        gradients(units, _calibration(), "square")
    with pytest.raises(OnnxPruneError, match="no inputs to measure gradients with"):
        gradients(units, Calibration(lambda: [], 0))
    chosen: Units = units_of(
        proto(
            """(float[N,3] x) => (int64[N,1] y) {
                h = MatMul(x, a)
                z = MatMul(h, b)
                y = ArgMax<axis=1>(z)
            }""",
            "a 3 6, b 6 2",
        )
    )
    with pytest.raises(OnnxPruneError, match="no output depends on the weights"):
        gradients(chosen, Calibration(lambda: [{"x": np.ones((2, 3), np.float32)}], 2))


def test_inputs_that_do_not_fit() -> None:
    """A token that the embedding does not have."""
    model = proto(
        """(int64[N,3] x) => (float[N,3,2] y) {
            e = Gather(table, x)
            h = MatMul(e, w0)
            r = Relu(h)
            y = MatMul(r, w1)
        }""",
        "table 5 4, w0 4 6, w1 6 2",
    )
    units = units_of(model)
    feeds = {"x": np.array([[0, 4, 9]])}
    with pytest.raises(OnnxPruneError, match=r"not run with these inputs: .*index"):
        gradients(units, Calibration(lambda: [feeds], 1))


def test_classes_need_an_axis_of_classes() -> None:
    model = proto(
        """(float[N,3] x) => (float[N] y) {
            h = MatMul(x, a)
            z = MatMul(h, b)
            y = ReduceSum<keepdims=0>(z, axes)
        }""",
        "a 3 6, b 6 2",
        axes=ints(1),
    )
    with pytest.raises(OnnxPruneError, match="needs outputs with classes on axis 1"):
        gradients(units_of(model), _calibration(model), "classes")


def test_whoever_is_registered_measures_gradients() -> None:
    found = measure_gradients(units_of(RESIDUAL()), _calibration())
    assert found.samples == 8
