"""A pruned model answers what the original answers with the removed channels masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import small_control  # noqa: F401 - registers its models
import small_shapes  # noqa: F401 - registers its models
from helpers import (
    check_model,
    check_pruned,
    choose,
    close,
    feeds_of,
    ints,
    proto,
    run,
    signature,
    to_proto,
    units_of,
    zeroed,
)
from onnx.numpy_helper import from_array, to_array
from random_graphs import Network
from small import MODELS

from onnxprune.errors import ChoiceError
from onnxprune.graph import load, save
from onnxprune.rewrite import prune
from onnxprune.units import find_units


@pytest.mark.parametrize("name", sorted(MODELS))
def test_small_models(name: str) -> None:
    check_model(MODELS[name](), seeds=4)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    check_model(Network(seed).build(8), seeds=1, sizes=(2,))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_unit_at_a_time_down_to_one_channel(name: str) -> None:
    units = units_of(MODELS[name]())
    for unit in units.mutable:
        channels = np.arange(unit.num_channels)
        for order in (channels, channels[::-1]):
            unit.current_choice = unit.first(order, unit.num_groups)
            check_pruned(MODELS[name](), units, sizes=(2,))
        unit.current_choice = unit.num_channels


@pytest.mark.parametrize("name", sorted(MODELS))
def test_keeping_everything_changes_nothing(name: str) -> None:
    graph = load(MODELS[name]())
    before, after = to_proto(graph), to_proto(prune(find_units(graph)))
    weights = [
        {t.name: t.SerializeToString() for t in m.graph.initializer} for m in (before, after)
    ]
    assert weights[0] == weights[1]
    assert signature(before) == signature(after)
    assert not after.metadata_props
    feeds = feeds_of(before)
    for name_, array in run(before, feeds).items():
        assert np.array_equal(array, run(after, feeds)[name_])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_original_is_not_touched(name: str) -> None:
    graph = load(MODELS[name]())
    before = to_proto(graph).SerializeToString(deterministic=True)
    units = find_units(graph)
    choose(units, 0)
    prune(units)
    assert to_proto(graph).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", sorted(MODELS))
def test_pruning_twice(name: str, tmp_path: Path) -> None:
    """Through a file and directly; what is kept is told in numbers of the original."""
    units = units_of(MODELS[name]())
    choose(units, 0, 0.7)
    once = prune(units)
    save(once, tmp_path / "once.onnx")
    for source in (once, load(tmp_path / "once.onnx")):
        again = find_units(source)
        choose(again, 1, 0.6)
        twice = prune(again)
        result = to_proto(twice)
        onnx.checker.check_model(result, full_check=True)
        feeds = feeds_of(result)
        close(run(result, feeds), run(zeroed(units.graph, twice), feeds))


def test_no_annotation_of_an_old_size_survives() -> None:
    model = onnx.shape_inference.infer_shapes(MODELS["chain"]())
    assert model.graph.value_info
    units = units_of(model)
    choose(units, 0)
    infos = to_proto(prune(units)).graph.value_info
    weights = {tensor.name for tensor in model.graph.initializer}
    assert not [i for i in infos if i.type.tensor_type.HasField("shape") and i.name not in weights]


def test_choices_that_would_empty_a_tensor() -> None:
    """A mask over a unit that spans two branches may not empty one of them."""
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            p, q = Split<axis=1>(a, sizes)
            t = Tanh(p)
            c = Concat<axis=1>(t, q)
            y = Conv(c, w1)
        }""",
        "w0 6 3 1 1, w1 2 6 1 1",
        sizes=ints(3, 3),
    )
    units = units_of(model)
    (unit,) = units.mutable
    unit.current_choice = np.arange(6) < 3
    with pytest.raises(ChoiceError, match="leave nothing of the tensor"):
        prune(units)


def test_shared_constants_are_never_edited() -> None:
    """One vector is the shape of two reshapes, one of them of something that is not pruned."""
    model = proto(
        """(float[2,8] x) => (float[2,5] y, float[4,2,2] z) {
            z = Reshape(x, s)
            h = MatMul(x, w0)
            r = Reshape(h, s)
            t = Tanh(r)
            b = Reshape(t, back)
            y = MatMul(b, w1)
        }""",
        "w0 8 8, w1 8 5",
        **{"s": ints(4, 2, 2), "back": ints(2, 8)},
    )
    check_model(model, seeds=2)
    model = proto(
        """(float[2,3,4] x) => (float[2,3,5] y, float[2,3,4] z) {
            z = Expand(x, s)
            h = MatMul(x, w0)
            e = Reshape(h, s)
            y = MatMul(e, w1)
        }""",
        "w0 4 4, w1 4 5",
        s=ints(2, 3, 4),
    )
    units = check_model(model, seeds=3)
    assert [unit.num_channels for unit in units.mutable] == [4]


@pytest.mark.parametrize(("kind", "dtype"), [(10, np.float16), (11, np.float64)])
def test_half_precision_and_doubles(kind: int, dtype: type) -> None:
    body = "(float[N,6] x) => (float[N,5] y) { h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) }"
    model = proto(body, "w0 6 8, w1 8 5")
    for tensor in model.graph.initializer:
        tensor.CopyFrom(from_array(to_array(tensor).astype(dtype), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    units = units_of(model)
    choose(units, 0)
    small = prune(units)
    feeds = feeds_of(model)
    masked = run(zeroed(units.graph, small), feeds)["y"]
    np.testing.assert_allclose(run(to_proto(small), feeds)["y"], masked, rtol=1e-2, atol=1e-2)
    assert {tensor.data_type for tensor in to_proto(small).graph.initializer} == {kind}


def test_statistics_are_over_what_is_left() -> None:
    """Layer normalisation and softmax over pruned channels, recomputed by hand."""
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            h = MatMul(x, w0)
            n = LayerNormalization(h, scale, shift)
            s = Softmax(n)
            m = ReduceMean<keepdims=1>(n, last)
            p = Sub(s, m)
            y = MatMul(p, w1)
        }""",
        "w0 6 12, scale 12, shift 12, w1 12 5",
        last=ints(-1),
    )
    units = units_of(model)
    (unit,) = units.mutable
    unit.current_choice = kept = np.random.default_rng(0).random(12) < 0.5
    weights = {t.name: to_array(t).astype(np.float64) for t in model.graph.initializer}
    feeds = feeds_of(model)
    h = feeds["x"] @ weights["w0"][:, kept]
    n = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
    n = n * weights["scale"][kept] + weights["shift"][kept]
    s = np.exp(n) / np.exp(n).sum(1, keepdims=True)
    expected = (s - n.mean(1, keepdims=True)) @ weights["w1"][kept]
    np.testing.assert_allclose(
        run(to_proto(prune(units)), feeds)["y"], expected, rtol=1e-4, atol=1e-5
    )


def test_the_size_of_a_head_stays_a_number() -> None:
    """Attention divides by the root of a head's original size, however much of it is left."""
    units = units_of(MODELS["attention"]())
    units["MatMul_0_(0, 12)_3"].current_choice = 1
    small = prune(units)
    assert any("pruned" in (node.name or "") for node in small.model.graph)
    check_pruned(MODELS["attention"](), units)


def test_weights_are_sliced_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    units = units_of(MODELS["chain"]())
    choose(units, 0)
    read: list[object] = []
    original = np.take
    monkeypatch.setattr(np, "take", lambda *a, **k: read.append(a) or original(*a, **k))
    small = prune(units)
    assert not read
    weight = small.model.graph.initializers["net.conv1.weight"].const_value
    assert isinstance(weight, ir.LazyTensor)
    assert list(weight.numpy().shape) == list(weight.shape)
    assert read


@pytest.mark.parametrize("flag", [True, False])
def test_nested_graphs_read_the_original_size(flag: bool) -> None:
    body = """(float[N,6] x, bool c) => (float[N,5] y, int64[2] z) {
        h = MatMul(x, w0)
        s = Shape(h)
        z = If(c) <
            then_branch = g1 () => (int64[2] a) { a = Add(s, s) },
            else_branch = g2 () => (int64[2] b) { b = Identity(s) }
        >
        y = MatMul(h, w1)
    }"""
    model = proto(body, "w0 6 8, w1 8 5")
    units = units_of(model)
    choose(units, 0)
    feeds = {**feeds_of(model), "c": np.array(flag)}
    found = run(to_proto(prune(units)), feeds)
    assert np.array_equal(found["z"], run(model, feeds)["z"])
