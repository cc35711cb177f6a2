"""A refitted model is proven, by the original with the same weights in the same places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import feeds_of, proto, to_proto, units_of
from small import MODELS

from onnxprune.calibration import Calibration
from onnxprune.choice import sample
from onnxprune.graph import Graph, load, save
from onnxprune.refit import MARK, Options, refit
from onnxprune.rewrite import prune, read_record, recall
from onnxprune.units import Units
from onnxprune.verification import Verdict, verify

REFERENCES = ["zero-masking", pytest.param("torch", marks=pytest.mark.torch)]

NORMALISED = """(float[N,6] x) => (float[N,3] y) {
    a = MatMul(x, w0)
    r = Relu(a)
    n = LayerNormalization(r, scale, bias)
    m = MatMul(n, w1)
    b = Add(m, b1)
    y = MatMul(b, w2)
}"""
SHAPES = "w0 6 12, scale 12, bias 12, w1 12 8, b1 8, w2 8 3"

Arrays = dict[str, np.ndarray]


def _inputs(model: onnx.ModelProto) -> Calibration:
    batches = [feeds_of(model, 16, seed=seed) for seed in (5, 6)]
    return Calibration(lambda: batches, 32)


def _refitted(
    model: onnx.ModelProto, seed: int = 0, method: str = "sequential"
) -> tuple[Units, Graph]:
    units = units_of(model)
    sample(units, seed, (0.3, 0.7))
    done = refit(units, prune(units), _inputs(model), Options(method=method))
    assert done.fitted
    return units, done.graph


def _edited(
    graph: Graph,
    edit: Callable[[Arrays], None] = lambda arrays: None,
    mark: Callable[[str], bool] | None = None,
) -> Graph:
    """The graph with other numbers in its weights, and perhaps other marks."""
    model = to_proto(graph)
    arrays = {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    edit(arrays)
    for tensor in model.graph.initializer:
        said = {entry.key: entry.value for entry in tensor.metadata_props}
        tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
        if mark is not None:
            said = {key: value for key, value in said.items() if key != MARK}
            said.update({MARK: "sequential"} if mark(tensor.name) else {})
        for key, value in said.items():
            tensor.metadata_props.add(key=key, value=value)
    return load(model)


def _marked(graph: Graph) -> list[str]:
    return sorted(
        name
        for name, value in graph.initializers.items()
        if value.const_value is not None and MARK in value.const_value.metadata_props
    )


NAMES = ["chain", "residual", "flatten", "linear", "transposed", "squeeze_excite", "concat"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reference", REFERENCES)
def test_what_was_fitted_is_proven(name: str, reference: str) -> None:
    units, small = _refitted(MODELS[name]())
    verdict = verify(units, small, reference=reference)
    assert verdict.passed, verdict.problems
    assert verdict.reference == reference
    count = len(_marked(small))
    assert f"{count} of its weights are refitted; the original holds the same" in verdict.notes


@pytest.mark.parametrize("method", ["one-shot", "mean", "affine", "channel"])
def test_by_every_method(method: str) -> None:
    units, small = _refitted(MODELS["residual"](), method=method)
    verify(units, small).check()


@pytest.mark.torch
def test_through_normalisations_too() -> None:
    units, small = _refitted(proto(NORMALISED, SHAPES))
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    assert verdict.reference == "torch"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reference", REFERENCES)
def test_a_file_is_proven_as_well(name: str, reference: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    _, small = _refitted(model)
    path = tmp_path / "small.onnx"
    save(small, path)
    again = load(path)
    assert _marked(again) == _marked(small)
    units = units_of(model)
    recall(units, again)
    verdict = verify(units, again, reference=reference, file=path)
    assert verdict.passed, verdict.problems


def test_history_and_marks_are_in_the_file(tmp_path: Path) -> None:
    units, small = _refitted(MODELS["chain"]())
    save(small, tmp_path / "small.onnx")
    written, held = read_record(load(tmp_path / "small.onnx").model), read_record(small.model)
    assert written is not None
    assert held is not None
    assert written == held
    assert written.history[-1].source_sha256 == units.graph.source.sha256
    tensors = {t.name: t for t in onnx.load(tmp_path / "small.onnx").graph.initializer}
    said = {entry.key: entry.value for entry in tensors["head.weight"].metadata_props}
    assert said[MARK] == "sequential"
    assert "pkg.onnxprune.kept" in said


def test_any_numbers_are_proven_where_they_are_marked() -> None:
    """It is the structure that is proven; whether numbers are good is what evaluation is for."""

    def scale(arrays: Arrays) -> None:
        for name in marked:
            arrays[name] *= np.float32(0.5)

    units, small = _refitted(MODELS["chain"]())
    marked = _marked(small)
    verify(units, _edited(small, scale)).check()


def _fails(units: Units, small: Graph) -> Verdict:
    verdict = verify(units, small)
    assert not verdict.passed
    assert verdict.problems
    return verdict


def test_a_weight_that_changed_without_a_mark_is_found() -> None:
    def change(arrays: Arrays) -> None:
        arrays["net.conv0.weight"][0] += 1

    units, small = _refitted(MODELS["chain"]())
    assert "net.conv0.weight" not in _marked(small)
    verdict = _fails(units, _edited(small, change))
    assert "its answers differ" in verdict.problems[0]


def test_a_fitted_weight_without_its_mark_is_found() -> None:
    units, small = _refitted(MODELS["chain"]())
    bare = _edited(small, mark=lambda name: name != "net.conv1.weight" and name in _marked(small))
    assert len(_marked(bare)) == len(_marked(small)) - 1
    _fails(units, bare)


@pytest.mark.parametrize("name", ["chain", "residual", "linear"])
def test_other_choices_of_as_many_channels_are_found(name: str) -> None:
    units, small = _refitted(MODELS[name](), seed=0)
    moved = False
    for unit in units.mutable:
        mask = unit.mask
        if not mask.all():
            unit.current_choice = np.roll(mask, 1)
            moved = True
    assert moved
    _fails(units, small)


def test_channels_in_another_order_are_found() -> None:
    """Rows that were sliced in a wrong order do not meet the columns that were fitted."""

    def turn(arrays: Arrays) -> None:
        for name in ("net.conv0.weight", "net.conv0.bias"):
            arrays[name][:] = arrays[name][::-1].copy()

    units, small = _refitted(MODELS["chain"]())
    _fails(units, _edited(small, turn))


def test_a_marked_weight_of_a_wrong_shape_is_told() -> None:
    def shrink(arrays: Arrays) -> None:
        arrays["head.weight"] = arrays["head.weight"][:, :-1]
        arrays["net.conv1.weight"] = arrays["net.conv1.weight"][:-1]
        arrays["net.conv1.bias"] = arrays["net.conv1.bias"][:-1]

    units, small = _refitted(MODELS["chain"]())
    verdict = _fails(units, _edited(small, shrink))
    assert any("which is not what the choices leave of" in problem for problem in verdict.problems)


def test_a_mark_on_what_the_original_computes_is_told() -> None:
    model = proto(
        """(float[N,6] x, float[8,5] w1) => (float[N,5] y) {
            a = MatMul(x, w0)
            r = Relu(a)
            y = MatMul(r, w1)
        }""",
        "w0 6 8",
    )
    units = units_of(model)
    small = prune(units)
    inner = to_proto(small)
    weight = onnx.numpy_helper.from_array(np.ones((8, 5), np.float32), "other")
    weight.metadata_props.add(key=MARK, value="sequential")
    inner.graph.initializer.append(weight)
    inner.graph.node[2].input[1] = "other"
    verdict = _fails(units, load(inner))
    assert any("is computed in the original" in problem for problem in verdict.problems)


def test_a_mark_on_a_node_that_the_original_has_not_is_told() -> None:
    units, small = _refitted(MODELS["chain"]())
    model = to_proto(small)
    extra = onnx.helper.make_node("Mul", ["c1", "factor"], ["c2"], name="extra")
    weight = onnx.numpy_helper.from_array(np.array(2, np.float32), "factor")
    weight.metadata_props.add(key=MARK, value="sequential")
    model.graph.initializer.append(weight)
    position = next(i for i, node in enumerate(model.graph.node) if "c1" in node.input)
    model.graph.node[position].input[0] = "c2"
    model.graph.node.insert(position, extra)
    verdict = _fails(units, load(model))
    assert any(
        "the original has no Mul 'extra' that it could belong to" in problem
        for problem in verdict.problems
    )


@pytest.mark.parametrize("slot", [0, 2])
def test_an_input_that_the_original_node_lacks_is_told(slot: int) -> None:
    """A clip that the original does not have, given as if it were a fitted weight."""
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            a = MatMul(x, w0)
            c = Clip(a, low)
            y = MatMul(c, w1)
        }""",
        "w0 6 8, w1 8 5",
        low=np.array(-0.5, np.float32),
    )
    units = units_of(model)
    inner = to_proto(prune(units))
    weight = onnx.numpy_helper.from_array(np.full((), 0.5, np.float32), "high")
    weight.metadata_props.add(key=MARK, value="sequential")
    inner.graph.initializer.append(weight)
    clip = next(node for node in inner.graph.node if node.op_type == "Clip")
    if slot == 2:
        clip.input.append("high")
        verdict = _fails(units, load(inner))
        assert any("has no place in the original" in problem for problem in verdict.problems)
    else:
        clip.input[slot] = "high"
        _fails(units, load(inner))


def test_a_mark_on_whole_numbers_is_told() -> None:
    """They say how to compute; a file of a stranger may hold any."""
    units = units_of(MODELS["split_channels"]())
    sample(units, 0, (0.3, 0.7))
    small = prune(units)
    sizes = [n for n, v in small.initializers.items() if v.dtype == ir.DataType.INT64]
    assert sizes
    _fails(units, _edited(small, mark=lambda name: name in sizes))


def test_a_fitted_model_is_pruned_and_proven_again(tmp_path: Path) -> None:
    model = MODELS["chain"]()
    _, small = _refitted(model)
    save(small, tmp_path / "small.onnx")
    middle = load(tmp_path / "small.onnx")
    units = units_of(onnx.load(tmp_path / "small.onnx"))
    sample(units, 3, (0.4, 0.8))
    smaller = prune(units)
    verify(units, smaller).check()
    again = refit(units, smaller, _inputs(model))
    assert again.fitted
    verify(units, again.graph).check()
    record = read_record(again.graph.model)
    assert record is not None
    assert len(record.history) == 2
    assert middle.source.sha256 != ""


def test_weights_in_several_nodes_are_put_into_all_of_them() -> None:
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            s = Sqrt(r)
            m1 = MatMul(r, w1)
            m2 = MatMul(s, w1)
            g = Mul(m1, m2)
            y = Add(g, m2)
        }""",
        "w0 6 8, w1 8 5",
    )
    units, small = _refitted(model)
    assert _marked(small) == ["w1"]
    verify(units, small).check()


def test_the_original_stays_as_it_is() -> None:
    units, small = _refitted(MODELS["residual"]())
    before = ir.to_proto(units.graph.model).SerializeToString()
    verify(units, small).check()
    assert ir.to_proto(units.graph.model).SerializeToString() == before
