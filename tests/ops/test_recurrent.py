"""Recurrent layers: what their rules say, and small models that lose hidden channels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import check_model, ints, proto, run, to_proto, units_of

from onnxprune.axes import Barred, Rule
from onnxprune.graph import load
from onnxprune.ops import macs_of, rules_for

LAYER = (
    "(float[5,N,4] x) => (float[5,{d},N,6] y) {{ y = {layer}<hidden_size=6{more}>(x, w, r, b) }}"
)


def rule_of(layer: str, gates: int, d: int = 1, more: str = "") -> Rule | Barred:
    shapes = f"w {d} {gates * 6} 4, r {d} {gates * 6} 6, b {d} {gates * 12}"
    graph = load(proto(LAYER.format(layer=layer, d=d, more=more), shapes))
    return rules_for(graph)(graph.nodes[0])


@pytest.mark.parametrize(
    ("layer", "gates", "sentence"),
    [
        (
            "LSTM",
            4,
            "_ b i, 2 (4 h) i, 2 (4 h) h, 2 (8 h), b, 2 b h, 2 b h, 2 (3 h) "
            "-> _ 2 b h, 2 b h, 2 b h",
        ),
        ("GRU", 3, "_ b i, 2 (3 h) i, 2 (3 h) h, 2 (6 h), b, 2 b h -> _ 2 b h, 2 b h"),
        ("RNN", 1, "_ b i, 2 h i, 2 h h, 2 (2 h), b, 2 b h -> _ 2 b h, 2 b h"),
    ],
)
def test_sentences(layer: str, gates: int, sentence: str) -> None:
    rule = rule_of(layer, gates, 2, ', direction="bidirectional"')
    assert isinstance(rule, Rule)
    assert str(rule.parsed) == sentence
    assert rule.attributes == {"hidden_size": "h"}


def test_the_batch_may_come_first() -> None:
    rule = rule_of("GRU", 3, more=", layout=1")
    assert isinstance(rule, Rule)
    assert str(rule.parsed) == "b _ i, 1 (3 h) i, 1 (3 h) h, 1 (6 h), b, b 1 h -> b _ 1 h, b 1 h"


@pytest.mark.parametrize("more", [', direction="sideways"', ", layout=2", ", direction=1"])
def test_what_is_not_known_is_barred(more: str) -> None:
    assert isinstance(rule_of("LSTM", 4, more=more), Barred)


def test_both_weights_are_multiplied_at_every_step() -> None:
    body = LAYER.replace("N", "3").format(layer="LSTM", d=1, more="")
    graph = load(proto(body, "w 1 24 4, r 1 24 6, b 1 48"))
    assert macs_of(graph.nodes[0], graph) == 5 * 3 * 24 * (4 + 6)


TWO_LAYERS = """(float[5,N,3] x) => (float[5,N,2] y) {{
    e = MatMul(x, we)
    t1 = {layer}<hidden_size=6, direction="bidirectional">(e, w1, r1, b1, , , {extra1})
    p1 = Transpose<perm=[0,2,1,3]>(t1)
    j1 = Reshape(p1, join)
    t2 = {layer}<hidden_size=7, direction="reverse">(j1, w2, r2)
    s2 = Squeeze(t2, one)
    y = MatMul(s2, wy)
}}"""


def two_layers(layer: str, gates: int, extra: str = "") -> onnx.ModelProto:
    g = gates
    shapes = (
        f"we 3 8, w1 2 {6 * g} 8, r1 2 {6 * g} 6, b1 2 {12 * g}, "
        f"w2 1 {7 * g} 12, r2 1 {7 * g} 7, wy 7 2"
    )
    body = TWO_LAYERS.format(layer=layer, extra1=extra).replace(", , , )", ")")
    if extra:
        shapes += f", {extra} 2 {3 * 6}"
        body = body.replace(f", , , {extra})", f", , , , {extra})")
    return proto(body, shapes, join=ints(0, 0, 12), one=ints(1))


@pytest.mark.parametrize(
    ("layer", "gates", "extra"),
    [("LSTM", 4, ""), ("LSTM", 4, "peephole"), ("GRU", 3, ""), ("RNN", 1, "")],
)
def test_hidden_channels_of_two_layers(layer: str, gates: int, extra: str) -> None:
    model = two_layers(layer, gates, extra)
    units = check_model(model, seeds=6)
    assert sorted(unit.num_channels for unit in units.mutable) == [6, 7, 8]
    assert units.prunable_share() == 1


def test_a_state_from_outside_keeps_its_size() -> None:
    model = proto(
        "(float[5,2,3] x, float[1,2,6] s) => (float[5,2,2] y) "
        "{ e = MatMul(x, we) h = GRU<hidden_size=6>(e, w, r, , , s) q = Squeeze(h, one) "
        "  y = MatMul(q, wy) }",
        "we 3 8, w 1 18 8, r 1 18 6, wy 6 2",
        one=ints(1),
    )
    assert [unit.num_channels for unit in check_model(model).mutable] == [8]


def test_lengths_of_sequences_leave_channels_free() -> None:
    model = proto(
        "(float[5,3,3] x) => (float[5,3,2] y) "
        "{ e = MatMul(x, we) h = LSTM<hidden_size=6>(e, w, r, , lengths) q = Squeeze(h, one) "
        "  y = MatMul(q, wy) }",
        "we 3 8, w 1 24 8, r 1 24 6, wy 6 2",
        one=ints(1),
        lengths=np.array([5, 2, 3], np.int32),
    )
    assert sorted(unit.num_channels for unit in check_model(model).mutable) == [6, 8]


def test_layers_that_start_from_the_same_zeros_are_not_tied() -> None:
    text = """(float[5,N,3] x) => (float[5,N,2] y) {
        a = Shape(x) n = Slice(a, one, two) size = Concat<axis=0>(layers, n, six)
        zeros = ConstantOfShape(size)
        s1 = Slice(zeros, nought, one, nought) s2 = Slice(zeros, one, two, nought)
        h1 = GRU<hidden_size=6>(x, w1, r1, , , s1) q1 = Squeeze(h1, one)
        h2 = GRU<hidden_size=6>(q1, w2, r2, , , s2) q2 = Squeeze(h2, one)
        y = MatMul(q2, wy)
    }"""
    numbers = {"nought": 0, "one": 1, "two": 2, "layers": 2, "six": 6}
    model = proto(
        text,
        "w1 1 18 3, r1 1 18 6, w2 1 18 6, r2 1 18 6, wy 6 2",
        **{name: ints(number) for name, number in numbers.items()},
    )
    units = check_model(model)
    assert [unit.num_channels for unit in units.mutable] == [6, 6]
    feeds = {"x": np.random.default_rng(3).standard_normal((5, 4, 3)).astype(np.float32)}
    np.testing.assert_allclose(
        *(run(each, feeds)["y"] for each in (model, to_proto(load(model)))), rtol=1e-5, atol=1e-6
    )


def test_a_state_that_is_not_zero_stays() -> None:
    model = proto(
        "(float[5,2,3] x) => (float[5,1,2,6] y) "
        "{ s = ConstantOfShape<value=float[1]{0.5}>(size) y = RNN<hidden_size=6>(x, w, r, , , s) }",
        "w 1 6 3, r 1 6 6",
        size=ints(1, 2, 6),
    )
    assert [node.op_type for node in units_of(model).graph.nodes] == ["ConstantOfShape", "RNN"]
