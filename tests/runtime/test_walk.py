"""What flows through a graph, seen piece by piece, against one run of the whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import Arrays, feeds_of, ints, proto, run, to_proto
from small import MODELS
from small_control import branches, loop, scan

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.runtime.store import Store
from onnxprune.runtime.walk import Walk


def _sequence() -> onnx.ModelProto:
    """A list of tensors, and a node that lacks an input in between."""
    return proto(
        """(float[N,6] x) => (float[N,6] y) {
            a = MatMul(x, w)
            s = SplitToSequence<axis=1>(a, three)
            first = SequenceAt(s, zero)
            last = SequenceAt(s, one)
            n = SequenceLength(s)
            k = Cast<to=1>(n)
            c = Clip(first, , k)
            d, _ = Dropout(c)
            j = Concat<axis=1>(d, last)
            m = ConcatFromSequence<axis=1>(s)
            y = Add(m, j)
        }""",
        "w 6 6",
        three=np.array(3),
        zero=np.array(0),
        one=np.array(1),
    )


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": MODELS["residual"],
    "squeeze_excite": MODELS["squeeze_excite"],
    "branches": branches,
    "loop": loop,
    "scan": scan,
    "sequence": _sequence,
}


def _batches(model: onnx.ModelProto, sizes: Sequence[int] = (2, 1, 3)) -> list[Arrays]:
    found = [feeds_of(model, size, seed=size) for size in sizes]
    for i, feeds in enumerate(found):
        if "flag" in feeds:
            feeds["flag"] = np.array([i % 2 == 0])
    return found


def _seen(model: onnx.ModelProto, graph: Graph, batches: list[Arrays]) -> list[Arrays]:
    """Every value of the main graph for each batch, by one run of it with all values as outputs."""
    whole = to_proto(graph)
    given = {output.name for output in whole.graph.output}
    for node in graph.model.graph:
        for value in node.outputs:
            if value.name and value.name not in given:
                whole.graph.output.append(onnx.helper.make_empty_tensor_value_info(value.name))
    return [run(whole, feeds) for feeds in batches]


def _values(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    return [value for node in nodes for value in node.outputs if value.name]


def _same(found: object, wanted: object) -> None:
    if isinstance(wanted, list):
        assert isinstance(found, list)
        for one, other in zip(found, wanted, strict=True):
            _same(one, other)
        return
    assert isinstance(found, np.ndarray)
    assert isinstance(wanted, np.ndarray)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [1, 2, 3, 99])
@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_values_are_those_of_one_run(name: str, step: int, limit: int) -> None:
    model = CASES[name]()
    graph, batches = load(model), _batches(model)
    wanted = _seen(model, graph, batches)
    nodes = list(graph.model.graph)
    walk = Walk(graph, batches, Store(limit))
    for start in range(0, len(nodes), step):
        values = _values(nodes[start : start + step])
        answers = list(walk.advance(min(start + step, len(nodes)), values))
        assert len(answers) == len(batches)
        for answer, right in zip(answers, wanted, strict=True):
            assert set(answer) == {value.name for value in values}
            for value in values:
                _same(answer[str(value.name)], right[str(value.name)])
    walk.close()


@pytest.mark.parametrize("name", CASES)
def test_what_later_nodes_take_can_be_seen_again(name: str) -> None:
    model = CASES[name]()
    graph, batches = load(model), _batches(model)
    wanted = [{**b, **s} for b, s in zip(batches, _seen(model, graph, batches), strict=True)]
    walk = Walk(graph, batches, Store(0))
    weights = set(graph.initializers.values())
    for node in graph.model.graph:
        taken = [v for v in node.inputs if v is not None and v not in weights]
        for answer, right in zip(walk.advance(walk.index(node), taken), wanted, strict=True):
            assert set(answer) == {value.name for value in taken}
            for value in taken:
                _same(answer[str(value.name)], right[str(value.name)])


def test_the_place_of_a_node_is_its_number() -> None:
    graph = load(MODELS["residual"]())
    walk = Walk(graph, [], Store())
    assert [walk.index(node) for node in graph.model.graph] == list(range(len(graph.model.graph)))


def test_nothing_is_run_where_nothing_is_wanted_or_needed() -> None:
    model = proto(
        """(float[N,4] x) => (float[N,4] y) {
            unused = Reshape(x, wrong)
            y = Relu(x)
        }""",
        wrong=ints(7, 7, 7),
    )
    graph = ir.from_proto(model)
    walk = Walk(Graph(graph, load(model).source, {}, {}), [feeds_of(model)], Store())
    assert [set(seen) for seen in walk.advance(1, [])] == [set()]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_weights_that_change_count_from_then_on(limit: int) -> None:
    model = MODELS["residual"]()
    graph, batches = load(model), _batches(model)
    nodes = list(graph.model.graph)
    third = nodes[2]
    walk = Walk(graph, batches, Store(limit))
    before = [seen["r"].copy() for seen in walk.advance(2, nodes[1].outputs)]
    for name in ("w0", "w1", "w2"):  # the first of them has done its work already
        value = graph.initializers[name]
        assert value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy() * 2, name=name)
    extra = ir.Value(name="other bias", const_value=ir.tensor(np.full(8, 5, np.float32)))
    extra.const_value.name = "other bias"  # type: ignore[union-attr]
    graph.model.graph.register_initializer(extra)
    third.replace_input_with(2, extra)
    after = list(walk.advance(len(nodes), [third.outputs[0], *graph.outputs]))
    untouched = to_proto(load(model))
    for feeds, relu, seen in zip(batches, before, after, strict=True):
        left = _as_is(untouched, feeds)
        _same(relu, left["r"])
        bias = onnx.numpy_helper.to_array(
            next(t for t in untouched.graph.initializer if t.name == "b1")
        )
        moved = 2 * (left["b"] - bias[:, None, None]) + 5
        np.testing.assert_allclose(seen[str(third.outputs[0].name)], moved, rtol=1e-4, atol=1e-4)
        weight = onnx.numpy_helper.to_array(
            next(t for t in untouched.graph.initializer if t.name == "w2")
        )
        wanted = np.einsum("oc,nchw->nohw", 2 * weight[:, :, 0, 0], left["a"] + moved)
        np.testing.assert_allclose(seen["y"], wanted, rtol=1e-4, atol=1e-3)


def _as_is(model: onnx.ModelProto, feeds: Arrays) -> Arrays:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for name in ("a", "r", "b"):
        copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return run(copy, feeds)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _files(folder: Path) -> int:
    return len(list(folder.rglob("*.npy")))


def test_only_what_is_needed_later_is_kept(folder: Path) -> None:
    model = MODELS["residual"]()  # a feeds its relu and the sum
    graph = load(model)
    nodes = {str(node.outputs[0].name): i for i, node in enumerate(graph.model.graph)}
    walk = Walk(graph, _batches(model), Store(0))
    kept = []
    for name in ("a", "r", "b", "s", "y"):
        assert len(list(walk.advance(nodes[name] + 1, []))) == 3
        kept.append(_files(folder) / 3)
    assert kept == [1, 2, 2, 1, 0]  # a; a r; a b; s; nothing


def test_closing_drops_what_is_left(folder: Path) -> None:
    model = MODELS["residual"]()
    store = Store(0)
    walks = [Walk(load(model), _batches(model), store) for _ in range(2)]
    assert _files(folder) == 6
    walks[0].close()
    assert _files(folder) == 3
    walks[1].close()
    assert _files(folder) == 0


def test_inputs_that_no_node_takes_are_not_kept(folder: Path) -> None:
    model = proto("(float[N,4] x, float[N,4] unused) => (float[N,4] y) { r = Relu(x) y = Neg(r) }")
    walk = Walk(load(model), [feeds_of(model)], Store(0))
    assert _files(folder) == 1
    walk.close()


def test_the_callers_arrays_stay_as_they_are(tmp_path: Path) -> None:
    model = MODELS["chain"]()
    path = tmp_path / "x.npy"
    np.save(path, feeds_of(model)["x"])
    graph = load(model)
    for limit in (0, 1 << 20):
        walk = Walk(graph, [{"x": np.load(path, mmap_mode="r")}], Store(limit))
        list(walk.advance(len(graph.model.graph), []))
        walk.close()
        assert path.exists()


def test_an_input_that_does_not_fit_is_told() -> None:
    model = MODELS["chain"]()
    walk = Walk(load(model), [{"x": np.zeros((2, 5, 8, 8), np.float32)}], Store())
    with pytest.raises(OnnxPruneError, match="the model: it does not run with these inputs"):
        list(walk.advance(2, load(model).outputs))


def test_what_onnxruntime_does_not_load_is_told() -> None:
    model = proto("(float[N,4] x) => (float[N,4] y) { r = other.Strange(x) y = Relu(r) }")
    graph = load(model)
    walk = Walk(graph, [feeds_of(model)], Store())
    with pytest.raises(OnnxPruneError, match="the model: onnxruntime does not load a part of it"):
        list(walk.advance(1, graph.model.graph[0].outputs))
