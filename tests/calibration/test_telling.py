"""Of many random samples those are taken that a model answers most unlike the others."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import proto

from onnxprune.calibration import read_dataset
from onnxprune.calibration.telling import most_telling
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.runtime import Feeds

COUNT = 5


def _samples(rare: np.ndarray) -> np.ndarray:
    """Forty samples of two numbers: the first varies a lot, the second in a few alone."""
    samples = np.random.default_rng(0).standard_normal((8 * COUNT, 2)).astype(np.float32)
    samples[:, 0] *= 100
    samples[:, 1] *= 1e-3
    samples[rare, 1] = 1
    return samples


def _graph(body: str, result: str = "float[N,2]") -> Graph:
    return load(proto(f"(float[N,2] x) => ({result} y) {{ {body} }}"))


def _picked(graph: Graph, samples: np.ndarray, batch: int = 7) -> list[int]:
    def read(indices: np.ndarray) -> Feeds:
        return {"x": samples[indices]}

    return most_telling(graph, read, COUNT, batch).tolist()


def test_samples_that_no_other_is_like_are_taken_whatever_the_units() -> None:
    rare = np.array([3, 11, 20, 39])
    found = _picked(_graph("y = Identity(x)"), _samples(rare))
    assert len(found) == COUNT
    assert {*rare.tolist()} <= {*found}
    assert found == sorted(found)


def test_long_answers_are_averaged_in_runs() -> None:
    rare = np.array([3, 11, 20, 39])
    long = load(
        proto(
            "(float[N,2] x) => (float[N,2,1000] y) { u = Unsqueeze(x, axis) y = Expand(u, to) }",
            axis=np.array([2], np.int64),
            to=np.array([1, 1, 1000], np.int64),
        )
    )
    assert {*rare.tolist()} <= {*_picked(long, _samples(rare))}


def test_answers_that_are_not_finite_do_not_count() -> None:
    rare = np.array([3, 11, 20, 39])
    samples = _samples(rare)
    samples[[1, 5]] = np.nan
    found = _picked(_graph("y = Identity(x)"), samples)
    assert {*rare.tolist()} <= {*found}
    assert not {1, 5} & {*found}


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("y = Cast<to=7>(x)", "int64[N,2]"),  # no floats
        ("y = Sub(x, x)", "float[N,2]"),  # all alike
        ("y = ReduceSum<keepdims=0>(x)", "float"),  # not one for each sample
        ("y = Transpose(x)", "float[2,N]"),
    ],
)
def test_the_first_are_taken_where_answers_tell_none_apart(body: str, result: str) -> None:
    assert _picked(_graph(body, result), _samples(np.array([9]))) == list(range(COUNT))


def test_what_does_not_run_is_told() -> None:
    with pytest.raises(OnnxPruneError, match="onnxruntime does not run it on random samples"):
        _picked(_graph("y = Identity(x)"), np.zeros((8 * COUNT, 3), np.float32))


@pytest.mark.parametrize("shape", ["N,3,8,8", "4,3,8,8"])
def test_random_images_are_picked_and_no_others(shape: str) -> None:
    graph = load(proto(f"(float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}"))
    for kind in ("leaves", "pink"):
        data = read_dataset(kind, graph, samples=16, seed=1)
        assert data.samples == 16 == len(data.indices)
        assert data.indices.max() > 16
        assert data.origin.startswith("16 samples of")
        again = read_dataset(kind, graph, samples=16, seed=1)
        assert data.digest() == again.digest()
    for kind in ("noise", "uniform"):
        assert read_dataset(kind, graph, samples=16).indices.tolist() == list(range(16))
