"""Verification finds what is right and what is wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import proto, to_proto, units_of
from small import MODELS

from onnxprune import find_units
from onnxprune.choice import sample
from onnxprune.errors import MissingExtra, OnnxPruneError, VerificationFailed
from onnxprune.graph import Graph, Source, load, save
from onnxprune.rewrite import prune, read_record
from onnxprune.runtime.feeds import Feeds
from onnxprune.units import Units
from onnxprune.verification import REFERENCES, Verifier, verify
from onnxprune.verification.compare import ABSOLUTE, RELATIVE, STRICT, tolerance_of
from onnxprune.verification.references import (
    CannotAnswer,
    Outputs,
    Removed,
    ZeroMasking,
    why_inexact,
)

NORMALISED = """(float[N,6] x) => (float[N,3] y) {
    a = MatMul(x, w0)
    n = LayerNormalization<axis=-1>(a, scale, bias)
    y = MatMul(n, w1)
}"""
SHAPES = "w0 6 12, scale 12, bias 12, w1 12 3"

ATTENTION = """(float[N,5,6] x) => (float[N,5,3] y) {
    q = MatMul(x, wq)
    k = MatMul(x, wk)
    t = Transpose<perm=[0,2,1]>(k)
    s = MatMul(q, t)
    v = MatMul(s, x)
    y = MatMul(v, wo)
}"""


def _pruned(model: onnx.ModelProto, seed: int = 0) -> tuple[Units, Graph]:
    units = units_of(model)
    sample(units, seed, (0.3, 0.7))
    return units, prune(units)


def _edited(graph: Graph, edit: Callable[[dict[str, np.ndarray]], None]) -> Graph:
    """The graph with other numbers in its weights."""
    model = to_proto(graph)
    arrays = {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    edit(arrays)
    for tensor in model.graph.initializer:
        metadata = list(tensor.metadata_props)
        tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
        tensor.metadata_props.extend(metadata)
    return load(model)


def _as_it_is(model: ir.Model) -> Graph:
    """A graph that was not normalised on loading."""
    return Graph(model, Source(None, ""), {}, {})


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_right_model_passes(name: str) -> None:
    units, small = _pruned(MODELS[name]())
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    assert verdict.problems == []
    assert verdict.max_error is not None
    assert verdict.max_error < 1e-3
    assert verdict.tolerance == "|difference| <= 1e-05 + 0.0001 * |reference|"
    verdict.check()


def test_the_file_itself_is_what_runs(tmp_path: Path) -> None:
    units, small = _pruned(MODELS["chain"]())
    path = tmp_path / "small.onnx"
    save(_edited(small, lambda arrays: arrays["net.conv1.weight"].fill(0)), path)
    assert verify(units, small).passed
    assert not verify(units, small, file=path).passed


def test_an_output_that_is_a_sequence() -> None:
    """It is all that tells of the weights ``w2``."""
    body = """(float[N,3] x) => (float[N,2] y, seq(float[N,2]) s) {
        a = MatMul(x, w0)
        b = Relu(a)
        y = MatMul(b, w1)
        z = MatMul(b, w2)
        s = SequenceConstruct(y, z)
    }"""
    units, small = _pruned(proto(body, "w0 3 8, w1 8 2, w2 8 2"))
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    assert verdict.reference == "zero-masking"
    wrong = verify(units, _edited(small, lambda arrays: arrays["w2"].__imul__(1.01)))
    assert not wrong.passed
    assert wrong.problems[0].startswith("its answers differ from zero-masking by up to")
    if "torch" in REFERENCES:
        with pytest.raises(CannotAnswer, match="output 's' is a sequence"):
            verify(units, small, reference="torch")


def test_wrong_indices_are_found() -> None:
    """The consumer was sliced with other indices than the producer."""
    units, small = _pruned(MODELS["chain"]())
    record = read_record(small.model)
    assert record is not None
    kept = record.kept["net.conv1.weight"][1]
    original = units.graph.initializers["net.conv1.weight"].const_value
    assert original is not None
    rows = record.kept["net.conv1.weight"][0]

    def shift(arrays: dict[str, np.ndarray]) -> None:
        wrong = [(i + 1) % 8 for i in kept]
        arrays["net.conv1.weight"] = original.numpy()[rows][:, wrong]

    verdict = verify(units, _edited(small, shift))
    assert not verdict.passed
    assert "differ from" in verdict.problems[0]
    with pytest.raises(VerificationFailed, match="is not proven: its answers differ"):
        verdict.check()


def test_two_channels_swapped_are_found() -> None:
    units, small = _pruned(MODELS["residual"]())

    def swap(arrays: dict[str, np.ndarray]) -> None:
        arrays["w2"] = arrays["w2"].copy()
        arrays["w2"][:, [0, 1]] = arrays["w2"][:, [1, 0]]

    assert not verify(units, _edited(small, swap)).passed


@pytest.mark.parametrize("name", ["b0", "b1", "w1"])
def test_one_changed_number_is_found(name: str) -> None:
    units, small = _pruned(MODELS["residual"]())

    def nudge(arrays: dict[str, np.ndarray]) -> None:
        arrays[name].flat[0] += 0.1

    assert not verify(units, _edited(small, nudge)).passed


def test_not_a_number_is_found() -> None:
    units, small = _pruned(MODELS["residual"]())
    verdict = verify(units, _edited(small, lambda arrays: arrays["w2"].fill(np.nan)))
    assert not verdict.passed
    assert verdict.max_error == np.inf


def test_other_choices_are_found() -> None:
    units, small = _pruned(MODELS["chain"]())
    unit = units.mutable[0]
    unit.current_choice = np.roll(unit.mask, 1)
    assert not verify(units, small).passed


def test_a_changed_signature_is_found() -> None:
    units, small = _pruned(MODELS["chain"]())
    renamed, resized, retyped, fewer = (to_proto(small) for _ in range(4))
    renamed.graph.input[0].name = "input"
    renamed.graph.node[0].input[0] = "input"
    resized.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    retyped.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    retyped.graph.node[-1].output[0] = "single"
    retyped.graph.node.append(
        onnx.helper.make_node("Cast", ["single"], ["y"], to=onnx.TensorProto.DOUBLE)
    )
    fewer.graph.output[0].name = fewer.graph.node[-1].output[0] = "z"
    for changed, says in (
        (renamed, "inputs differ: x: FLOAT[?,3,8,8] became input: FLOAT[?,3,8,8]"),
        (resized, "inputs differ: x: FLOAT[?,3,8,8] became x: FLOAT[?,3,9,8]"),
        (retyped, "outputs differ: y: FLOAT[?,1000] became y: DOUBLE[?,1000]"),
        (fewer, "outputs differ: y: FLOAT[?,1000] became z: FLOAT[?,1000]"),
    ):
        verdict = verify(units, load(changed))
        assert not verdict.passed
        assert says in "; ".join(verdict.problems)


def test_what_onnxruntime_refuses_is_found() -> None:
    units, small = _pruned(MODELS["chain"]())
    broken = small.model.clone()
    broken.graph.node(1).op_type = "Rleu"
    verdict = verify(units, _as_it_is(broken))
    assert not verdict.passed
    assert "onnxruntime refuses it" in verdict.problems[-1]
    assert verdict.max_error is None


def test_what_onnxruntime_warns_of_is_found() -> None:
    """An initializer that nothing reads."""
    units, small = _pruned(MODELS["chain"]())
    spare = small.model.clone()
    value = ir.Value(name="spare", const_value=ir.tensor(np.ones(3, np.float32), name="spare"))
    spare.graph.register_initializer(value)
    verdict = verify(units, _as_it_is(spare))
    assert not verdict.passed
    assert "onnxruntime warns" in verdict.problems[-1]


def test_an_original_that_does_not_run_is_an_error() -> None:
    model = proto("(float[N,3] x) => (float[N,4] y) { y = com.acme.Magic(x, w) }", "w 3 4")
    with pytest.raises(OnnxPruneError, match=r"does not load the original \(com.acme:Magic"):
        Verifier(units_of(model))


def test_feeds_that_do_not_fit_are_an_error() -> None:
    units, small = _pruned(MODELS["chain"]())
    for feeds in ({}, {"z": np.ones(3)}, {"x": np.ones((1, 2, 8, 8), np.float32)}):
        with pytest.raises(OnnxPruneError, match=r"it takes x: FLOAT\[\?,3,8,8\]"):
            verify(units, small, feeds)


def test_the_feeds_that_are_given_are_used() -> None:
    units, small = _pruned(MODELS["chain"]())
    dark = {"x": np.zeros((1, 3, 8, 8), np.float32)}
    bright = {"x": np.ones((4, 3, 8, 8), np.float32)}
    assert verify(units, small, bright).passed

    def stem(arrays: dict[str, np.ndarray]) -> None:
        arrays["net.conv0.weight"] += 1

    wrong = _edited(small, stem)
    assert verify(units, wrong, dark).passed, "zeros cannot tell"
    assert not verify(units, wrong, bright).passed


def test_outputs_that_do_not_vary_prove_nothing() -> None:
    model = proto(
        """(float[N,4] x) => (float[N,2] y) {
            a = MatMul(x, w0)
            b = MatMul(a, w1)
            z = Sub(b, b)
            y = Identity(z)
        }""",
        "w0 4 6, w1 6 2",
    )
    units, small = _pruned(model)
    verdict = verify(units, small)
    assert not verdict.passed
    assert "do not vary" in verdict.problems[0]


def test_one_verifier_checks_many_prunings() -> None:
    units = units_of(MODELS["residual"]())
    verifier = Verifier(units)
    for seed in range(3):
        sample(units, seed)
        small = prune(units)
        assert verifier.verify(small).passed
    sample(units, 9)
    assert not verifier.verify(small).passed


def test_zero_is_exact_for_convolutions_and_not_for_statistics_and_products() -> None:
    units, _ = _pruned(MODELS["chain"]())
    assert list(why_inexact(units)) == []
    units, _ = _pruned(proto(NORMALISED, SHAPES))
    assert "takes a statistic over removed channels" in next(why_inexact(units))
    units, _ = _pruned(proto(ATTENTION, "wq 6 8, wk 6 8, wo 6 3"))
    assert "multiplies two activations over removed channels" in next(why_inexact(units))


def test_nothing_is_inexact_while_nothing_is_removed() -> None:
    units = units_of(proto(NORMALISED, SHAPES))
    assert list(why_inexact(units)) == []


def test_zero_masking_says_when_it_is_not_exact() -> None:
    units, small = _pruned(proto(NORMALISED, SHAPES))
    verdict = verify(units, small, reference="zero-masking")
    assert not verdict.passed
    assert "zero-masking is not exact: LayerNormalization" in verdict.problems[0]


def test_an_unknown_reference() -> None:
    units, small = _pruned(MODELS["chain"]())
    with pytest.raises(OnnxPruneError, match="no reference 'zero'"):
        verify(units, small, reference="zero")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    units, small = _pruned(MODELS["chain"]())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'onnxprune\[cpu\]'"):
        verify(units, small)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["chain", "residual", "concat", "grouped", "transposed"])
def test_zero_masking_and_the_torch_twin_agree_on_convolutions(name: str) -> None:
    units, small = _pruned(MODELS[name]())
    for reference in ("zero-masking", "torch"):
        verdict = verify(units, small, reference=reference)
        assert verdict.passed, verdict.problems
        assert verdict.reference == reference


@pytest.mark.torch
@pytest.mark.parametrize(
    ("body", "shapes"), [(NORMALISED, SHAPES), (ATTENTION, "wq 6 8, wk 6 8, wo 6 3")]
)
def test_the_torch_twin_decides_where_zero_is_not_exact(body: str, shapes: str) -> None:
    units, small = _pruned(proto(body, shapes))
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    assert verdict.reference == "torch"

    def swap(arrays: dict[str, np.ndarray]) -> None:
        name = "w1" if "w1" in arrays else "wq"
        arrays[name] = arrays[name][::-1] if name == "w1" else arrays[name][:, ::-1]

    assert not verify(units, _edited(small, swap)).passed


@pytest.mark.torch
def test_the_torch_twin_finds_inconsistent_removals() -> None:
    """A producer that lost a channel whose consumer still waits for it."""
    units, _ = _pruned(MODELS["chain"]())
    removed = {"net.conv0.weight": {0: np.array([1])}}
    twin = REFERENCES.get("torch")(units.graph)
    feeds = {"x": np.ones((1, 3, 8, 8), np.float32)}
    with pytest.raises(VerificationFailed, match="inconsistent"):
        twin(feeds, removed)


class _Noisy(ZeroMasking):
    """A reference whose every answer is off by some times the tolerance."""

    times = 5.0

    def __call__(self, feeds: Feeds, removed: Removed) -> Outputs:
        answers = super().__call__(feeds, removed)
        return {
            name: (array + self.times * (ABSOLUTE + RELATIVE * np.abs(array))).astype(array.dtype)
            for name, array in answers.items()
        }


@pytest.mark.torch
def test_rounding_in_float32_is_decided_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REFERENCES._items, "noisy", _Noisy)
    units, small = _pruned(MODELS["chain"]())
    verdict = verify(units, small, reference="noisy")
    assert verdict.passed, verdict.problems
    assert re.match(
        r"in float32 the largest difference is (4\.9|5)\S* times the tolerance, in float64 it is ",
        verdict.notes[0],
    )
    monkeypatch.setattr(_Noisy, "times", 50.0)
    assert not verify(units, small, reference="noisy").passed


@pytest.mark.torch
@pytest.mark.parametrize("reference", ["auto", "zero-masking", "torch"])
def test_what_is_slightly_wrong_is_no_rounding(reference: str) -> None:
    units, small = _pruned(MODELS["chain"]())

    def nudge(arrays: dict[str, np.ndarray]) -> None:
        for name in ("head.weight", "head.bias"):
            arrays[name] = arrays[name] * np.float32(1.0004)

    verdict = verify(units, _edited(small, nudge), reference=reference)
    assert not verdict.passed


def _halved() -> onnx.ModelProto:
    """A chain in float16."""
    model = MODELS["chain"]()
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


@pytest.mark.torch
def test_float16_is_decided_in_float64() -> None:
    units, small = _pruned(_halved())
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    assert verdict.allowed == STRICT
    wrong = _edited(small, lambda arrays: arrays["head.bias"].__iadd__(np.float16(0.01)))
    assert not verify(units, wrong).passed


def test_float16_without_torch_has_a_tolerance_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "_in_float64", lambda *_: None)
    monkeypatch.setitem(REFERENCES._items, "noisy", _Noisy)
    monkeypatch.setattr(_Noisy, "times", 50.0)
    units, small = _pruned(_halved())
    verdict = verify(units, small, reference="noisy")
    assert verdict.passed, verdict.problems
    assert verdict.allowed == tolerance_of(ir.DataType.FLOAT16)
    assert verdict.tolerance == "|difference| <= 0.00078125 + 0.0078125 * |reference|"
    monkeypatch.setattr(_Noisy, "times", 200.0)
    assert not verify(units, small, reference="noisy").passed
    units, small = _pruned(MODELS["chain"]())
    monkeypatch.setattr(_Noisy, "times", 5.0)
    assert not verify(units, small, reference="noisy").passed, "float32 has no such tolerance"


@pytest.mark.torch
def test_a_type_that_torch_does_not_have_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        from onnxprune.torch.errors import UnsupportedOperator

        raise UnsupportedOperator("element type strange")

    monkeypatch.setattr("onnxprune.torch.reference.Interpreter", refuse)
    units, small = _pruned(proto(NORMALISED, SHAPES))
    verdict = verify(units, small)
    assert verdict.reference == "zero-masking"
    assert "element type strange" in verdict.notes or not verdict.passed


SIZED = """(float[1,4] x) => (float[M] y) {
    h = MatMul(x, w0)
    m = ReduceSum<keepdims=0>(h)
    n = Cast<to=7>(m)
    size = Unsqueeze(n, first)
    y = Reshape(x, size)
}"""


def test_masked_weights_that_ask_for_sizes_that_do_not_fit() -> None:
    model = proto(SIZED, "", w0=np.eye(4, dtype=np.float32), first=np.array([0]))
    feeds = {"x": np.ones((1, 4), np.float32)}
    answer = ZeroMasking(load(model))
    assert answer(feeds, {})["y"].shape == (4,)
    with pytest.raises(CannotAnswer, match=r"the masked original does not run: .*Reshape"):
        answer(feeds, {"w0": {1: np.array([2])}})


def test_nothing_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(graph: Graph) -> object:
        raise CannotAnswer("it says nothing")

    monkeypatch.setitem(REFERENCES._items, "mute", mute)
    module = sys.modules["onnxprune.verification.verify"]
    monkeypatch.setattr(module, "_order", lambda *_: iter(["mute"]))
    units, small = _pruned(MODELS["chain"]())
    with pytest.raises(CannotAnswer, match="nothing can tell what is right: it says nothing"):
        verify(units, small)


@pytest.mark.parametrize("form", ["file", "proto", "model"])
def test_a_graph_that_was_read_wrong(form: str, tmp_path: Path) -> None:
    """Whatever goes wrong in loading, the original as it was given tells."""
    proto_ = MODELS["residual"]()
    onnx.save(proto_, tmp_path / "model.onnx")
    given = {"file": tmp_path / "model.onnx", "proto": proto_, "model": ir.from_proto(proto_)}[form]
    graph = load(given)
    sound = find_units(graph)
    assert Verifier(sound).problems == []
    wrong = graph.initializers["w1"]
    assert wrong.const_value is not None
    wrong.const_value = ir.tensor(wrong.const_value.numpy() * np.float32(1.5), name="w1")
    (problem,) = Verifier(find_units(graph)).problems
    assert "the graph as it was read differs from its source by up to" in problem


def test_an_original_that_its_owner_changed_tells_nothing() -> None:
    given = MODELS["residual"]()
    units = units_of(given)
    del given.graph.node[:]
    assert Verifier(units).problems == []


@pytest.mark.parametrize("form", ["file", "proto"])
def test_what_was_pruned_is_pruned_again(form: str, tmp_path: Path) -> None:
    onnx.save(MODELS["residual"](), tmp_path / "model.onnx")
    first = find_units(tmp_path / "model.onnx" if form == "file" else MODELS["residual"]())
    sample(first, 0, (0.4, 0.7))
    units = find_units(prune(first))
    sample(units, 1, (0.4, 0.7))
    small = prune(units)
    verdict = verify(units, small)
    assert verdict.passed, verdict.problems
    record = read_record(small.model)
    assert record is not None
    assert [step.source_sha256 for step in record.history] == [
        first.graph.source.sha256,
        units.graph.source.sha256,
    ]
