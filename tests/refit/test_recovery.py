"""Where what is removed is a copy of what stays, nothing is lost."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import proto
from planted import Kept, error, keep, refitted, weights, with_copies, with_weights
from small import MODELS

from onnxprune.refit import find_sites
from onnxprune.refit.sites import Site
from onnxprune.verification import verify

Case = tuple[onnx.ModelProto, Kept, list[str]]
"""A model, what stays of it, and the outputs of the nodes that make up for the rest."""


def _of(name: str) -> onnx.ModelProto:
    return MODELS[name]()


CASES: dict[str, Case] = {
    "a kernel over a border": (_of("chain"), {"net.conv0.weight": [0, 2, 3, 7]}, ["c1", "y"]),
    "through a pool and a flatten": (_of("chain"), {"net.conv1.weight": range(9)}, ["y"]),
    "many columns for each channel": (_of("flatten"), {"w0": [1, 2, 4]}, ["y"]),
    "both addends of a sum": (_of("residual"), {"w0": [0, 3, 4]}, ["b", "y"]),
    "a bias in a node of its own": (_of("linear"), {"w0": [0, 1, 2, 5, 8, 9]}, ["c"]),
    "two kinds of consumers": (_of("squeeze_excite"), {"w0": [1, 2, 3]}, ["r", "e", "y"]),
    "a transposed convolution": (
        proto(
            """(float[N,3,4,4] x) => (float[N,2,8,8] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                t = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(r, w1)
                q = Relu(t)
                y = Conv(q, w2)
            }""",
            "w0 8 3 1 1, b0 8, w1 8 6 3 3, w2 2 6 1 1",
        ),
        {"w0": [0, 1, 6]},
        ["t", "y"],
    ),
    "groups that choose by themselves": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                g = Conv<group=2, pads=[1,1,1,1]>(r, w1, b1)
                q = Relu(g)
                y = Conv(q, w2)
            }""",
            "w0 8 3 1 1, b0 8, w1 6 4 3 3, b1 6, w2 2 6 1 1",
        ),
        {"w0": [0, 2, 6, 7]},
        ["g", "y"],
    ),
    "an addend that is one for all positions": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                p = GlobalAveragePool(x)
                e = Conv(p, w1, b1)
                c = Conv(r, w2, b2)
                s = Add(c, e)
                q = Relu(s)
                y = Conv(q, w3)
            }""",
            "w0 8 3 1 1, b0 8, w1 6 3 1 1, b1 6, w2 6 8 1 1, b2 6, w3 2 6 1 1",
        ),
        {"w0": [0, 2, 6, 7]},
        ["c", "y"],
    ),
    "groups that go as a whole": (_of("grouped"), {"Conv_0_(0, 8)_4": [0, 2, 3]}, ["y"]),
    "filters of single channels": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                d = Conv<group=8, pads=[1,1,1,1]>(r, w1, b1)
                q = Relu(d)
                y = Conv(q, w2, b2)
            }""",
            "w0 8 3 1 1, b0 8, w1 8 1 3 3, b1 8, w2 2 8 1 1, b2 2",
        ),
        {"w0": [0, 1, 5, 6]},
        ["y"],
    ),
    "a normalisation between": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0)
                n = BatchNormalization(a, scale, bias, mean, var)
                r = Relu(n)
                y = Conv<pads=[1,1,1,1]>(r, w1)
            }""",
            "w0 8 3 1 1, scale 8, bias 8, mean 8, w1 2 8 3 3",
            var=np.linspace(0.5, 2, 8, dtype=np.float32),
        ),
        {"w0": [0, 1, 5, 6]},
        ["y"],
    ),
    "a layer that is normalised later": (
        proto(
            """(float[N,4,6] x) => (float[N,4,3] y) {
                h = MatMul(x, w0)
                m = MatMul(h, w1)
                i = Add(m, b1)
                g = Gelu(i)
                o = MatMul(g, w2)
                p = Add(o, b2)
                r = Add(h, p)
                n = LayerNormalization(r, scale, bias)
                y = MatMul(n, w3)
            }""",
            "w0 6 8, w1 8 16, b1 16, w2 16 8, b2 8, scale 8, bias 8, w3 8 3",
        ),
        {"w1": [0, 2, 3, 7, 9, 15]},
        ["o", "y"],
    ),
    "products before their biases": (
        proto(
            """(float[N,6] x) => (float[N,3] y) {
                h = MatMul(x, w0)
                r = Relu(h)
                m1 = MatMul(r, w1)
                m2 = MatMul(r, w2)
                a1 = Add(m1, b1)
                a2 = Add(m2, b2)
                p = Mul(a1, a2)
                y = MatMul(p, w3)
            }""",
            "w0 6 8, w1 8 5, w2 8 5, b1 5, b2 5, w3 5 3",
        ),
        {"w0": [0, 1, 2, 3]},
        ["m1", "m2", "y"],
    ),
    "one sample at a time": (
        proto(
            """(float[1,3,4,4] x) => (float[1,5] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                f = Flatten(r)
                y = Gemm(f, w1, b1)
            }""",
            "w0 4 3 1 1, b0 4, w1 64 5, b1 5",
        ),
        {"w0": [0, 3]},
        ["y"],
    ),
    "one weight in two products": (
        proto(
            """(float[N,6] x) => (float[N,5] y) {
                h = MatMul(x, w0)
                r = Relu(h)
                s = Sqrt(r)
                m1 = MatMul(r, w1)
                m2 = MatMul(s, w1)
                y = Mul(m1, m2)
            }""",
            "w0 6 8, w1 8 5",
        ),
        {"w0": [0, 1, 2, 3]},
        ["m1", "m2"],
    ),
    "one kernel in two convolutions": (
        proto(
            """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
                a = Conv(x, w0, b0)
                r = Relu(a)
                p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(r)
                m1 = Conv<pads=[1,1,1,1]>(r, w1)
                m2 = Conv<pads=[1,1,1,1]>(p, w1)
                q = Mul(m1, m2)
                y = Conv(q, w2)
            }""",
            "w0 8 3 1 1, b0 8, w1 4 8 3 3, w2 2 4 1 1",
        ),
        {"w0": [0, 1, 2, 3]},
        ["m1", "m2", "y"],
    ),
}


def _shrinks(site: Site) -> bool:
    """Whether a weight has lost columns."""
    before, after = site.dense.inputs[1], site.weight
    axis = site.form.weight_axis
    assert before is not None
    return before.const_value.shape[axis] != after.const_value.shape[axis]  # type: ignore[union-attr]


def _planted(name: str) -> tuple[onnx.ModelProto, Kept, list[str]]:
    model, kept, outputs = CASES[name]
    for producer, indices in kept.items():
        model = with_copies(model, producer, list(indices))
    return model, kept, outputs


@pytest.mark.parametrize("method", ["sequential", "one-shot"])
@pytest.mark.parametrize("name", CASES)
def test_copies_cost_nothing(name: str, method: str) -> None:
    model, kept, outputs = _planted(name)
    units, small, done = refitted(model, kept, method=method)
    assert error(small, units.graph) > 0.02  # slicing alone loses something
    assert error(done.graph, units.graph) < 1e-3
    made = {node.name: node.outputs[0].name for node in units.graph.nodes}
    fitted = {made[node] for node in done.fitted}
    wanted = set(outputs)
    if method == "one-shot":  # what takes as much as before would stay as it is
        sites = [site for site in find_sites(units, small) if _shrinks(site)]
        wanted &= {made[str(site.dense.name)] for site in sites}
        assert wanted
    assert fitted >= wanted
    assert done.samples == 48


@pytest.mark.parametrize("name", CASES)
def test_so_it_is_proven(name: str) -> None:
    model, kept, _ = _planted(name)
    units, _, done = refitted(model, kept)
    verify(units, done.graph).check()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types_are_fitted_in_their_own(dtype: type) -> None:
    model, kept, _ = _planted("a bias in a node of its own")
    text = {np.float16: "float16", np.float64: "double"}[dtype]
    body = """(T[N,6] x) => (T[N,5] y) {
        a = MatMul(x, w0)
        b = Add(b0, a)
        g = Relu(b)
        c = MatMul(g, w1)
        y = Add(c, b1)
    }"""
    arrays = {name: array.astype(dtype) for name, array in weights(model).items()}
    units, small, done = refitted(proto(body.replace("T[", f"{text}["), **arrays), kept)
    assert error(small, units.graph) > 0.02
    assert error(done.graph, units.graph) < (1e-2 if dtype is np.float16 else 1e-4)
    for name, value in done.graph.initializers.items():
        assert value.dtype == units.graph.initializers[name].dtype
        assert value.const_value is not None
        assert value.const_value.dtype == value.dtype


def test_sums_of_channels_are_made_up_for_as_well() -> None:
    """Where nothing bends in between, a removed channel may be any sum of those that stay."""
    model = MODELS["residual"]()
    arrays = weights(model)
    mix = np.random.default_rng(4).standard_normal((5, 3)).astype(np.float32)
    body = """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
        a = Conv(x, w0, b0)
        y = Conv<pads=[1,1,1,1]>(a, w1)
    }"""
    w0, b0 = arrays["w0"], arrays["b0"]
    w0[3:], b0[3:] = np.einsum("ok,kchw->ochw", mix, w0[:3]), mix @ b0[:3]
    model = proto(body, "w1 2 8 3 3", w0=w0, b0=b0)
    for method in ("sequential", "one-shot"):
        units, small, done = refitted(model, {"w0": [0, 1, 2]}, method=method)
        assert error(small, units.graph) > 0.1
        assert error(done.graph, units.graph) < 1e-3


def test_what_is_left_of_an_error_is_made_up_for_further_on() -> None:
    """Each node is fitted to what the nodes before it have lost, not only to what it has."""
    model = MODELS["chain"]()
    kept = {"net.conv0.weight": [0, 1, 2, 3], "net.conv1.weight": range(10)}
    errors = {}
    for method in ("sequential", "one-shot"):
        units, _, done = refitted(model, kept, method=method, ridge=1e-3)
        errors[method] = error(done.graph, units.graph)
    assert errors["sequential"] < errors["one-shot"]


def test_a_sum_makes_up_for_its_other_addend() -> None:
    """`d` loses nothing and could tell all that `q` lost."""
    w0 = np.concatenate([np.eye(3), -np.eye(3), np.eye(3)[:2]])[:, :, None, None]
    model = proto(
        """(float[N,3,6,6] x) => (float[N,4,6,6] y) {
            a = Conv(x, w0)
            r = Relu(a)
            u = Conv(x, wu)
            q = Conv(u, w1, b1)
            d = Conv(r, w2, b2)
            y = Add(q, d)
        }""",
        "wu 6 3 1 1, w1 4 6 1 1, b1 4, w2 4 8 1 1, b2 4",
        w0=w0.astype(np.float32),
    )
    kept = {"w0": range(6), "wu": [0]}
    units, _, done = refitted(model, kept)
    assert error(done.graph, units.graph) < 1e-3
    units, _, done = refitted(model, kept, sums=False)
    assert error(done.graph, units.graph) > 0.1


@pytest.mark.parametrize("bias", ["b1 5", "b1 1 5", "b1 1"])
@pytest.mark.parametrize("operator", ["Gemm", "Add"])
def test_biases_of_any_shape_are_fitted_and_proven(bias: str, operator: str) -> None:
    last = "y = Gemm(r, w1, b1)" if operator == "Gemm" else "c = MatMul(r, w1) y = Add(c, b1)"
    text = f"(float[N,6] x) => (float[N,5] y) {{ h = MatMul(x, w0) r = Relu(h) {last} }}"
    model = with_copies(proto(text, f"w0 6 8, w1 8 5, {bias}"), "w0", [0, 1, 2, 3])
    units, _, done = refitted(model, {"w0": [0, 1, 2, 3]})
    assert error(done.graph, units.graph) < 1e-3
    verify(units, done.graph).check()


def test_a_convolution_without_a_bias_gets_one() -> None:
    """Of constant channels a bias is all that is needed."""
    model = MODELS["grouped"]()
    body = """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
        a = Conv(x, w0, b0)
        y = Conv(a, w1)
    }"""
    arrays = weights(model)
    arrays["w0"][5:] = 0
    model = proto(body, "w1 2 8 1 1", w0=arrays["w0"], b0=arrays["b0"])
    units, small, done = refitted(model, {"w0": range(5)}, method="mean")
    assert len(small.model.graph[1].inputs) == 2
    assert len(done.graph.model.graph[1].inputs) == 3
    assert error(done.graph, units.graph) < 1e-5


def test_fits_are_of_the_choice_that_was_made() -> None:
    """Other choices of the same units do not fit the smaller model."""
    model, kept, _ = _planted("a kernel over a border")
    units, _, done = refitted(model, kept)
    assert verify(units, done.graph).passed
    keep(units, "net.conv0.weight", [0, 2, 3, 6])
    assert not verify(units, done.graph).passed


def test_shared_weights_with_biases_of_their_own_cost_nothing_either() -> None:
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            s = Sqrt(r)
            m1 = Gemm(r, w1, b1)
            m2 = Gemm(s, w1, b2)
            y = Mul(m1, m2)
        }""",
        "w0 6 8, w1 8 5, b1 5, b2 5",
    )
    kept = {"w0": [0, 1, 2, 3]}
    model = with_copies(model, "w0", kept["w0"])
    model = with_weights(model, {"b1": weights(model)["b1"] + 5})
    units, _, done = refitted(model, kept)
    assert len(done.fitted) == 2
    assert error(done.graph, units.graph) < 1e-3
