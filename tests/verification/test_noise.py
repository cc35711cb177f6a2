"""Models that draw random numbers are compared with the same ones drawn everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import choose, feeds_of, proto, run, to_proto, units_of

from onnxprune import find_units
from onnxprune.graph import load
from onnxprune.rewrite import prune
from onnxprune.verification import Verifier
from onnxprune.verification.noise import still


def noisy() -> onnx.ModelProto:
    """A latent with noise of a learnt spread, as speech is synthesised; and a draw of its own."""
    return proto(
        """(float[N,5,6] x) => (float[N,5,3] y, float[4,50] u) {
            h0 = MatMul(x, w0)
            h = Tanh(h0)
            m = MatMul(h, wm)
            s0 = MatMul(h, ws)
            s = Exp(s0)
            noise = RandomNormalLike<mean=1.0, scale=0.5>(m)
            spread = Mul(noise, s)
            z = Add(m, spread)
            z1 = MatMul(z, w1)
            r = Relu(z1)
            y = MatMul(r, w2)
            u = RandomUniform<shape=[4,50], low=-1.0, high=3.0>()
        }""",
        "w0 6 8, wm 8 4, ws 8 4, w1 4 7, w2 7 3",
    )


def test_the_same_numbers_every_time() -> None:
    model = noisy()
    onnx.checker.check_model(to_proto(still(load(model))), full_check=True)
    fixed, feeds = to_proto(still(load(model))), feeds_of(model)
    first, second = run(fixed, feeds), run(fixed, feeds)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    drawn = first["u"]
    assert (drawn.shape, drawn.dtype) == ((4, 50), np.float32)
    assert -1 <= drawn.min() < -0.9
    assert 2.9 < drawn.max() <= 3
    assert abs(drawn.mean() - 1) < 0.1
    random = run(model, feeds)
    assert random["u"].shape == drawn.shape
    assert not np.array_equal(random["y"], first["y"])


def test_a_single_number_is_not_the_mean() -> None:
    """A mean of zero would hide all that it is multiplied with."""
    model = proto("(float[N,3] x) => (float[1] y) { y = RandomNormal<shape=[1]>() }")
    [drawn] = run(to_proto(still(load(model))), feeds_of(model)).values()
    assert abs(drawn[0]) > 0.1


def test_a_graph_that_draws_nothing_is_left_alone() -> None:
    graph = load(proto("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"))
    assert still(graph) is graph


@pytest.mark.parametrize("reference", ["zero-masking", "torch"])
@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_draws_is_proven(reference: str, seed: int) -> None:
    if reference == "torch":
        pytest.importorskip("torch")
    units = units_of(noisy())
    assert [unit.num_channels for unit in units.mutable] == [8, 7], "what meets noise is whole"
    choose(units, seed)
    verdict = Verifier(units).verify(prune(units), reference)
    assert verdict.passed, verdict.problems


def test_from_a_file(tmp_path: Path) -> None:
    onnx.save(noisy(), tmp_path / "noisy.onnx")
    units = find_units(tmp_path / "noisy.onnx")
    choose(units, 0)
    verdict = Verifier(units).verify(prune(units))
    assert verdict.passed, verdict.problems


def test_a_wrong_model_is_still_found() -> None:
    units = units_of(noisy())
    choose(units, 0)
    pruned = prune(units)
    weight = pruned.initializers["w2"].const_value
    assert weight is not None
    scaled = (weight.numpy() * 1.01).astype(np.float32)
    pruned.initializers["w2"].const_value = ir.tensor(scaled, name="w2")
    assert not Verifier(units).verify(pruned).passed
