"""Calibration as such."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import proto

from onnxprune.api import defaults
from onnxprune.calibration import Calibration, read_dataset
from onnxprune.graph import Graph, load


def test_the_first_batches_hold_so_many_samples() -> None:
    batches = [{"x": np.full((4, 2), i)} for i in range(5)]
    calibration = Calibration(lambda: batches, 20, "numbers", natural=False, correlated=False)
    few = calibration.first(7)
    assert [feeds["x"][0, 0] for feeds in few] == [0, 1] == [feeds["x"][0, 0] for feeds in few]
    assert (few.natural, few.correlated) == (False, False)
    assert calibration.first(20) is calibration


def _unmoved(shape: str) -> Graph:
    """A model to which all samples are alike, so none are picked."""
    return load(proto(f"(float[N,{shape}] x) => (float[N,{shape}] y) {{ y = Sub(x, x) }}"))


@pytest.mark.parametrize("shape", ["3,32,48", "32,48,3"])
def test_pink_noise_has_the_spectrum_of_photographs(shape: str) -> None:
    graph = _unmoved(shape)
    data = read_dataset("pink", graph, samples=32, seed=3)
    images = np.concatenate([feeds["x"] for feeds in data])
    if shape.endswith("3"):
        images = np.moveaxis(images, -1, 1)
    assert images.shape == (32, 3, 32, 48)
    assert images.min() >= 0
    assert images.max() <= 1
    assert abs(images.mean() - 0.5) < 0.05
    power = np.square(np.abs(np.fft.rfft(images - images.mean(-1, keepdims=True), axis=-1)))
    by_frequency = power.mean(axis=(0, 1, 2))
    assert by_frequency[1] > 4 * by_frequency[4] > 16 * by_frequency[16]
    again = read_dataset("pink", graph, samples=32, seed=3)
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(data, again, strict=True))


@pytest.mark.parametrize("shape", ["3,32,48", "32,48,3"])
def test_dead_leaves_have_edges_and_flat_areas(shape: str) -> None:
    graph = _unmoved(shape)
    leaves, pink = (
        np.concatenate([feeds["x"] for feeds in read_dataset(kind, graph, samples=32, seed=3)])
        for kind in ("leaves", "pink")
    )
    assert leaves.shape == pink.shape
    assert leaves.min() >= 0
    assert leaves.max() <= 1
    assert abs(leaves.mean() - 0.5) < 0.05
    along = -2 if shape.endswith("3") else -1
    kurtosis = []
    for images in (leaves, pink):
        steps = np.diff(images.astype(np.float64), axis=along)
        kurtosis.append(np.mean(steps**4) / np.mean(steps**2) ** 2)
    assert kurtosis[1] < 4 < 8 < kurtosis[0]  # a normal distribution has 3
    again = np.concatenate([f["x"] for f in read_dataset("leaves", graph, samples=32, seed=3)])
    assert np.array_equal(leaves, again)


@pytest.mark.parametrize(
    ("source", "given", "correlated"),
    [
        ("noise", "float[N,3,8,8] x", False),
        ("uniform", "float[N,3,8,8] x", False),
        ("pink", "float[N,3,8,8] x", True),
        ("leaves", "float[N,3,8,8] x", True),
        ("pink", "float[N,8] x", False),  # uniform then
        ("pink", "int64[N,3,8,8] x", False),
        ("pink", "float[N,3,8,8] x, float[N,8] v", True),
        (np.zeros((9, 8), np.float32), "float[N,8] x", True),
    ],
)
def test_what_suits_data_goes_by_whether_their_values_vary_together(
    source: object, given: str, correlated: bool
) -> None:
    kind = given.split(" x")[0]
    data = read_dataset(source, load(proto(f"({given}) => ({kind} y) {{ y = Identity(x) }}")))
    natural = not isinstance(source, str)
    for part in (data, *data.split(), data.first(1)):
        assert part is not None
        assert (part.natural, part.correlated) == (natural, correlated)
    wanted = ("obs", "curves", "sequential") if correlated else ("l1", "local", "one-shot")
    found = defaults(data)
    assert (found.importance, found.scope, found.refit) == wanted
