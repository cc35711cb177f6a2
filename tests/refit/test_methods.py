"""Each way to fit, on what it is made for."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from helpers import feeds_of, proto, run, to_proto
from planted import calibration, chosen, error, refitted, weights, with_copies, with_weights
from small import MODELS

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.refit import METHODS, Options, refit
from onnxprune.rewrite import prune

KERNELS = {
    "a point": ("w1 4 8 1 1", "pads=[0,0,0,0]"),
    "a kernel": ("w1 4 8 3 3", "pads=[0,0,0,0]"),
    "a kernel over a border": ("w1 4 8 3 3", "pads=[1,1,1,1]"),
}


def _model(kernel: str) -> onnx.ModelProto:
    shape, pads = KERNELS[kernel]
    return proto(
        f"""(float[N,3,6,6] x) => (float[N,4,h,w] y) {{
            a = Conv(x, w0, b0)
            r = Relu(a)
            y = Conv<{pads}>(r, w1, b1)
        }}""",
        f"w0 8 3 1 1, b0 8, {shape}, b1 4",
    )


def _weight(graph: Graph, name: str) -> np.ndarray:
    value = graph.initializers[name].const_value
    assert value is not None
    return value.numpy()


@pytest.mark.parametrize("kernel", ["a point", "a kernel"])
def test_the_mean_makes_up_for_what_is_constant(kernel: str) -> None:
    model = _model(kernel)
    arrays = weights(model)
    arrays["w0"][5:], arrays["b0"][5:] = 0, [1, 2, 3]
    units, small, done = refitted(with_weights(model, arrays), {"w0": range(5)}, method="mean")
    assert error(small, units.graph) > 0.1
    assert error(done.graph, units.graph) < 1e-5
    np.testing.assert_array_equal(_weight(done.graph, "w1"), _weight(small, "w1"))


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_mean_leaves_no_error_on_average(kernel: str) -> None:
    units, small, done = refitted(_model(kernel), {"w0": [0, 1, 2]}, method="mean", positions=1000)
    for found, wanted in zip(_moments(done.graph), _moments(units.graph), strict=True):
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-3, atol=1e-3)
    assert any(
        np.abs(found[0] - wanted[0]).max() > 0.1
        for found, wanted in zip(_moments(small), _moments(units.graph), strict=True)
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_channels_stand_for_their_copies(kernel: str) -> None:
    kept = [0, 1, 4]
    model = with_copies(_model(kernel), "w0", kept)
    units, small, done = refitted(model, {"w0": kept}, method="channel")
    assert error(small, units.graph) > 0.1
    assert error(done.graph, units.graph) < 1e-3
    np.testing.assert_array_equal(_weight(done.graph, "b1"), _weight(small, "b1"))


def test_channels_stand_for_their_copies_in_every_group() -> None:
    model = proto(
        """(float[N,3,6,6] x) => (float[N,6,6,6] y) {
            a = Conv(x, w0, b0)
            r = Relu(a)
            y = Conv<group=2, pads=[1,1,1,1]>(r, w1, b1)
        }""",
        "w0 8 3 1 1, b0 8, w1 6 4 3 3, b1 6",
    )
    kept = [1, 3, 4, 5]
    units, _, done = refitted(with_copies(model, "w0", kept), {"w0": kept}, method="channel")
    assert error(done.graph, units.graph) < 1e-3


def test_channels_are_weighted_alike_for_all_taps() -> None:
    units, small, done = refitted(_model("a kernel"), {"w0": [0, 1, 2]}, method="channel")
    spread = _weight(done.graph, "w1") - _weight(small, "w1")
    lost = _weight(units.graph, "w1")[:, 3:]
    mix, *_ = np.linalg.lstsq(
        lost.transpose(0, 2, 3, 1).reshape(-1, 5),
        spread.transpose(0, 2, 3, 1).reshape(-1, 3),
        rcond=None,
    )
    found = lost.transpose(0, 2, 3, 1) @ mix
    np.testing.assert_allclose(found, spread.transpose(0, 2, 3, 1), atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_affine_gives_back_mean_and_variance(kernel: str) -> None:
    units, small, done = refitted(
        _model(kernel), {"w0": [0, 1, 2]}, method="affine", positions=1000
    )
    for found, wanted in zip(_moments(done.graph), _moments(units.graph), strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    ratio = _weight(done.graph, "w1") / _weight(small, "w1")
    factor = ratio.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(ratio, np.broadcast_to(factor, ratio.shape), rtol=1e-3)
    assert np.abs(factor - 1).max() > 0.1


def _moments(graph: Graph) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and variance of each channel of each output, over the inputs that were fitted with."""
    model = to_proto(graph)
    found = [run(model, feeds) for feeds in calibration(model)]
    joined = [np.concatenate([answer[name] for answer in found]) for name in found[0]]
    over = [tuple(axis for axis in range(array.ndim) if axis != 1) for array in joined]
    return [(a.mean(axis=o), a.var(axis=o)) for a, o in zip(joined, over, strict=True)]


def test_affine_gives_back_the_statistics_before_a_normalisation() -> None:
    model = proto(
        """(float[N,3,6,6] x) => (float[N,4,6,6] y) {
            a = Conv(x, w0, b0)
            r = Relu(a)
            c = Conv(r, w1)
            q = Relu(c)
            y = BatchNormalization(q, scale, bias, mean, var)
        }""",
        "w0 8 3 1 1, b0 8, w1 4 8 1 1, scale 4, bias 4, mean 4",
        var=np.linspace(0.5, 2, 4, dtype=np.float32),
    )
    units, _, done = refitted(model, {"w0": [0, 1, 2]}, method="affine", positions=1000)
    (found,), (wanted,) = _moments(done.graph), _moments(units.graph)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-3, atol=1e-3)


def test_a_channel_that_is_silent_now_stays_finite() -> None:
    """A result that lost all that made it vary cannot be scaled up."""
    model = _model("a point")
    arrays = weights(model)
    arrays["w1"][2, :3] = 0
    _, _, done = refitted(with_weights(model, arrays), {"w0": [0, 1, 2]}, method="affine")
    assert np.isfinite(_weight(done.graph, "w1")).all()
    assert not _weight(done.graph, "w1")[2].any()


def test_an_infinite_ridge_keeps_sliced_weights() -> None:
    _, small, done = refitted(_model("a kernel"), {"w0": [0, 1, 2]}, ridge=math.inf)
    np.testing.assert_array_equal(_weight(done.graph, "w1"), _weight(small, "w1"))
    assert np.abs(_weight(done.graph, "b1") - _weight(small, "b1")).max() > 0.01


@pytest.mark.parametrize("method", sorted({*METHODS} - {"affine"}))  # it adds variance
def test_every_method_brings_the_answers_closer(method: str) -> None:
    units, small, done = refitted(_model("a kernel"), {"w0": range(5)}, method=method, ridge=1e-3)
    model = to_proto(units.graph)
    feeds = feeds_of(model, 16, seed=7)
    wanted = run(model, feeds)["y"]
    before, after = (
        np.square(run(to_proto(graph), feeds)["y"] - wanted).mean() for graph in (small, done.graph)
    )
    assert after < before


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    "kept",
    [{"w0": [0, 1, 4, 5]}, {"w1": [0, 3]}, {"w0": [0, 1, 4, 5], "w1": [0, 3]}, {"w3": [1]}],
    ids=str,
)
def test_every_method_copes_with_what_is_not_a_plain_product(
    method: str, kept: dict[str, list[int]]
) -> None:
    """Filters of single channels and normalisations lose whole groups with their channels."""
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            n = BatchNormalization(a, s0, b0, m0, v0)
            r = Relu(n)
            d = Conv<group=8, pads=[1,1,1,1]>(r, wd, bd)
            q = Relu(d)
            c = Conv(q, w1)
            m = BatchNormalization(c, s1, b1, m1, v1)
            t = ConvTranspose<group=2>(m, wt, bt)
            l = Relu(t)
            e = Conv(l, w3)
            y = Conv(e, w4)
        }""",
        "w0 8 3 1 1, b0 8, s0 8, m0 8, wd 8 1 3 3, bd 8, w1 4 8 1 1, s1 4, b1 4, m1 4, "
        "wt 4 3 1 1, bt 6, w3 2 6 1 1, w4 2 2 1 1",
        v0=np.linspace(0.5, 2, 8, dtype=np.float32),
        v1=np.linspace(0.5, 2, 4, dtype=np.float32),
    )
    units, _, done = refitted(model, kept, method=method, ridge=1e-3)
    assert done.fitted
    assert np.isfinite(error(done.graph, units.graph))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_weights_of_many_columns_are_solved_by_rows(method: str) -> None:
    """With rows instead of products of columns the answers are the same."""
    kept = {"net.conv0.weight": [0, 1, 2, 3], "net.conv1.weight": range(10)}
    given = {"method": method, "ridge": 1e-3}
    _, small, few = refitted(MODELS["chain"](), kept, **given)
    _, _, many = refitted(MODELS["chain"](), kept, columns=2, **given)
    assert few.fitted == many.fitted
    assert error(many.graph, few.graph) < 1e-3 < error(small, few.graph)


def test_a_method_that_there_is_not_is_told() -> None:
    model = _model("a point")
    units = chosen(model, {"w0": [0, 1]})
    with pytest.raises(OnnxPruneError, match=r"no refit 'magic'.*affine.*sequential"):
        refit(units, prune(units), calibration(model), Options(method="magic"))
