"""Queries and keys of fewer channels are mixtures of all that there were."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from attention import ATTENTIONS, RANK, planted
from helpers import proto
from planted import calibration, chosen, error, refitted, weights, with_weights

from onnxprune.calibration.query_key import _is_softmaxed, measure_pairs
from onnxprune.calibration.statistics import measure
from onnxprune.graph import Graph, load
from onnxprune.importance import Evidence, find_importance
from onnxprune.refit.compensate import compensate
from onnxprune.refit.methods import Sequential
from onnxprune.refit.sites import Site
from onnxprune.refit.turn import find_turns
from onnxprune.rewrite import prune
from onnxprune.units import MutableChannelUnit, find_units
from onnxprune.verification import verify

ALIKE = 1e-3
"""Of the largest answer: what the digits of float32 leave of an exact fit."""


def head_size(graph: Graph) -> MutableChannelUnit:
    """The unit of the channels of each head's queries and keys."""
    return next(unit for unit in find_units(graph).mutable if unit.role == "head-size")


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("method", ["sequential", "one-shot"])
def test_heads_of_few_dimensions_lose_nothing(name: str, method: str) -> None:
    """Whichever channels stay, and however the heads are written."""
    model = planted(name)
    unit = head_size(load(model))
    for kept in ([0, 1], [1, 3]):
        units, small, done = refitted(model, {unit.name: kept}, method=method)
        assert error(small, units.graph) > 0.1
        assert error(done.graph, units.graph) < ALIKE
        assert not done.left
        verify(units, done.graph).check()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_whole_heads_may_go_beside(name: str) -> None:
    model = planted(name)
    size = head_size(load(model))
    heads = next(unit for unit in find_units(load(model)).mutable if unit.role == "head")
    both = {size.name: [0, 2], heads.name: [0, 2]}
    units, _, done = refitted(model, both)
    verify(units, done.graph).check()
    alone, small, _ = refitted(model, {heads.name: [0, 2]})
    assert error(done.graph, refitted(model, {heads.name: [0, 2]})[2].graph) < ALIKE
    assert error(small, alone.graph) > 0.1


def test_what_was_measured_is_enough_to_compensate() -> None:
    model = planted("three projections")
    unit = head_size(load(model))
    units = chosen(model, {unit.name: [0, 3]})
    statistics = measure(units.graph, calibration(model))
    done = compensate(units, prune(units), statistics)
    assert error(done, units.graph) < ALIKE
    verify(units, done).check()


def test_the_error_curve_knows_how_many_dimensions_there_are() -> None:
    model = planted("three projections")
    graph = load(model)
    evidence = Evidence(statistics=measure(graph, calibration(model)))
    scores = np.sort(find_importance("obs")(head_size(graph), evidence))
    assert scores[: 4 - RANK] == pytest.approx(0, abs=1e-6)
    assert 0.01 < scores[4 - RANK] < scores[-1] == pytest.approx(1)


def test_no_choice_of_channels_is_better() -> None:
    """Of full rank something is lost, less than with what `sequential` makes of sliced ones."""
    model = planted("three projections")
    arrays = weights(model)
    random = np.random.default_rng(3)
    for name in ("wq", "wk", "bq", "bk"):
        arrays[name] = random.standard_normal(arrays[name].shape).astype(np.float32)
    model = with_weights(model, arrays)
    unit = head_size(load(model))
    errors = {}
    for method in ("one-shot", "mean"):
        units, _, done = refitted(model, {unit.name: [0, 1, 3]}, method=method)
        errors[method] = error(done.graph, units.graph)
    assert errors["one-shot"] < 0.7 * errors["mean"]


CHANGED = {
    "a rotation by position": ("q", [("Mul", ["{}", "wave"])], {"wave": (5, 12)}),
    "a bias of its own": ("q", [("Add", ["{}", "more"])], {"more": (1, 5, 12)}),
    "a scale for each channel": ("k", [("Mul", ["{}", "gain"])], {"gain": (12,)}),
    "something that bends": ("k", [("Tanh", ["{}"])], {}),
}


@pytest.mark.parametrize("change", CHANGED)
def test_what_is_done_to_channels_on_the_way_forbids_it(change: str) -> None:
    value, nodes, shapes = CHANGED[change]
    model = planted("three projections")
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        array = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    reader = next(
        node for node in model.graph.node if node.op_type == "Reshape" and value in node.input
    )
    reader.input[0] = "changed"
    place = list(model.graph.node).index(reader)
    ((operator, inputs),) = nodes
    fresh = onnx.helper.make_node(operator, [text.format(value) for text in inputs], ["changed"])
    model.graph.node.insert(place, fresh)
    assert measure_pairs(load(model), calibration(model)) == []


def test_another_reader_of_the_queries_forbids_it() -> None:
    model = planted("three projections")
    norm = onnx.helper.make_node("ReduceL2", ["q"], ["norm"], keepdims=0)
    model.graph.node.insert(len(model.graph.node) - 1, norm)
    model.graph.output.append(onnx.helper.make_tensor_value_info("norm", 1, None))
    assert measure_pairs(load(model), calibration(model)) == []


@pytest.mark.parametrize("reader", ["ReduceL2", "ArgMax"])
def test_a_reader_of_a_part_of_the_queries_forbids_it(reader: str) -> None:
    model = planted("three projections")
    first = onnx.helper.make_node("Gather", ["q", "nought"], ["first"], axis=1)
    told = onnx.helper.make_node(reader, ["first"], ["told"], keepdims=0)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "nought"))
    model.graph.node.extend([first, told])
    kind = onnx.TensorProto.INT64 if reader == "ArgMax" else onnx.TensorProto.FLOAT
    model.graph.output.append(onnx.helper.make_tensor_value_info("told", kind, None))
    assert measure_pairs(load(model), calibration(model)) == []


def test_channels_that_are_shifted_along_the_tokens_forbid_it() -> None:
    model = planted("three projections")
    shift = proto(
        """(float[N,5,3,4] qr) => (float[N,5,3,4] qs) {
            qa, qb = Split<axis=3, num_outputs=2>(qr)
            b1, b2 = Split<axis=1>(qb, tokens)
            br = Concat<axis=1>(b2, b1)
            qs = Concat<axis=3>(qa, br)
        }""",
        tokens=np.array([1, 4]),
    )
    reader = next(node for node in model.graph.node if "qr" in node.input)
    reader.input[list(reader.input).index("qr")] = "qs"
    place = list(model.graph.node).index(reader)
    for node in reversed(shift.graph.node):
        model.graph.node.insert(place, node)
    model.graph.initializer.extend(shift.graph.initializer)
    onnx.checker.check_model(model)
    assert measure_pairs(load(model), calibration(model)) == []


def test_a_query_does_not_turn_if_its_key_stays_as_sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    model = planted("three projections")
    unit = head_size(load(model))
    (pair,) = measure_pairs(load(model), calibration(model))

    def why_not(site: Site) -> str | None:
        return "by request" if site.small.name == pair.key else None

    monkeypatch.setattr(Sequential, "why_not", why_not)
    found = refitted(model, {unit.name: [0, 1]}, method="sequential")[2]
    assert not {pair.query, pair.key} & set(found.fitted)
    monkeypatch.setattr(Sequential, "turns", False)
    sliced = refitted(model, {unit.name: [0, 1]}, method="sequential")[2]
    assert error(found.graph, sliced.graph) < ALIKE


def test_heads_that_keep_all_their_channels_stay_as_they_are() -> None:
    model = planted("three projections")
    units = find_units(load(model))
    assert len(measure_pairs(units.graph, calibration(model))) == 1
    assert find_turns(units, measure_pairs(units.graph, calibration(model))) == {}


@pytest.mark.parametrize(
    ("opset", "axis", "over_keys"),
    [(11, "", False), (11, "<axis=2>", True), (13, "", True), (13, "<axis=1>", False)],
)
def test_a_softmax_is_over_the_keys_where_its_opset_says_so(
    opset: int, axis: str, over_keys: bool
) -> None:
    text = f"""(float[N,4,6] q, float[N,6,4] k) => (float[N,4,4] y) {{
        m = MatMul(q, k)
        y = Softmax{axis}(m)
    }}"""
    graph = load(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {text}'))
    node = next(node for node in graph.nodes if node.op_type == "MatMul")
    assert _is_softmaxed(node, graph) == over_keys
