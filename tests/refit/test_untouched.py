"""What a refit leaves alone, and that it does the same each time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import feeds_of, ints, proto, to_proto
from planted import Kept, calibration, chosen, refitted
from small import MODELS
from small_control import branches, loop

from onnxprune.calibration import Calibration
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.refit import MARK, merge, refit
from onnxprune.rewrite import prune

FORK = """(float[N,6] x) => (float[N,5] y, float[N,4] z) {
    h = MatMul(x, w0)
    r = Relu(h)
    c = MatMul(r, w1)
    y = Add(c, b1)
    g = MatMul(x, w2)
    s = Relu(g)
    k = MatMul(s, w3)
    z = Add(k, b3)
}"""
SHAPES = "w0 6 8, w1 8 5, b1 5, w2 6 7, w3 7 4, b3 4"


def _bytes(graph: Graph) -> dict[str, bytes]:
    return {
        name: value.const_value.tobytes()
        for name, value in graph.initializers.items()
        if value.const_value is not None
    }


def _marked(graph: Graph) -> dict[str, str]:
    return {
        name: value.const_value.metadata_props[MARK]
        for name, value in graph.initializers.items()
        if value.const_value is not None and MARK in value.const_value.metadata_props
    }


def test_other_branches_stay_bit_by_bit() -> None:
    _, small, done = refitted(proto(FORK, SHAPES), {"w0": [0, 1, 2]})
    assert _marked(done.graph) == {"w1": "sequential", "b1": "sequential"}
    before, after = _bytes(small), _bytes(done.graph)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"w1", "b1"}


def test_without_a_choice_nothing_is_fitted() -> None:
    units = chosen(proto(FORK, SHAPES), {})
    small = prune(units)
    done = refit(units, small, calibration(proto(FORK, SHAPES)))
    assert done.fitted == []
    assert done.left == {}
    assert _bytes(done.graph) == _bytes(small)
    assert _marked(done.graph) == {}


def test_neither_model_that_is_given_changes() -> None:
    units = chosen(proto(FORK, SHAPES), {"w0": [0, 1, 2], "w2": [1, 4]})
    small = prune(units)
    before = [to_proto(graph).SerializeToString() for graph in (units.graph, small)]
    done = refit(units, small, calibration(proto(FORK, SHAPES)))
    after = [to_proto(graph).SerializeToString() for graph in (units.graph, small)]
    assert before == after
    assert len(done.fitted) == 2


def test_structure_types_and_history_stay() -> None:
    _, small, done = refitted(MODELS["residual"](), {"w0": [0, 1, 2]})
    assert done.graph.model.metadata_props == small.model.metadata_props
    assert [node.name for node in done.graph.nodes] == [node.name for node in small.nodes]
    for name, value in small.initializers.items():
        assert value.const_value is not None
        other = done.graph.initializers[name].const_value
        assert other is not None
        assert (other.dtype, other.shape) == (value.const_value.dtype, value.const_value.shape)
        kept = {k: v for k, v in other.metadata_props.items() if not k.startswith(MARK)}
        assert kept == value.const_value.metadata_props
    onnx.checker.check_model(to_proto(done.graph), full_check=True)


def test_a_seed_decides_it() -> None:
    model = MODELS["chain"]()
    options = {"positions": 4, "ridge": 1e-3}
    kept = {"net.conv0.weight": [0, 1, 2]}
    one, again, other = (refitted(model, kept, seed=seed, **options)[2].graph for seed in (0, 0, 1))
    assert _bytes(one) == _bytes(again)
    assert one.source.sha256 == again.source.sha256
    assert _bytes(one) != _bytes(other)
    assert one.source.sha256 != other.source.sha256


def test_what_lies_on_disk_fits_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, kept = MODELS["residual"](), {"w0": [0, 1, 2]}
    memory, disk = (refitted(model, kept, memory=size)[2].graph for size in (1 << 30, 0))
    assert _bytes(memory) == _bytes(disk)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_files_of_the_inputs_are_left_alone(tmp_path: Path) -> None:
    model = MODELS["residual"]()
    path = tmp_path / "x.npy"
    np.save(path, feeds_of(model, 16)["x"])
    inputs = Calibration(lambda: [{"x": np.load(path, mmap_mode="r")}], 16)
    units = chosen(model, {"w0": [0, 1, 2]})
    assert refit(units, prune(units), inputs).fitted
    assert path.exists()


SHARED = """(int64[N] i) => (float[N,20] y) {
    e = Gather(emb, i)
    p = Add(e, pos)
    h = MatMul(p, w0)
    r = Relu(h)
    o = MatMul(r, w1)
    n = LayerNormalization(o, scale)
    y = Gemm<transB=1>(n, emb)
}"""

TURNED = """(float[N,6] x) => (float[N,6] y) {
    h = MatMul(x, w0)
    r = Relu(h)
    c = Gemm<transB=1>(r, w1)
    d = Gemm(c, w1)
    y = MatMul(d, w2)
}"""

DILATED = """(float[N,3,9,9] x) => (float[N,5,9,9] y) {
    h = Conv(x, w0)
    r = Relu(h)
    m = Conv<pads=[1,1,1,1]>(r, w1)
    n = Conv<pads=[2,2,2,2], dilations=[2,2]>(r, w1)
    y = Mul(m, n)
}"""

FAR = """(float[N,6] x) => (float[N,5] y) {
    h = MatMul(x, w0)
    r = Relu(h)
    l = Log(r)
    y = MatMul(l, w1)
}"""

LEFT: dict[str, tuple[onnx.ModelProto, Kept, str, str]] = {
    "serves a Gather": (
        proto(SHARED, "emb 20 8, pos 8, w0 8 6, w1 6 8, scale 8"),
        {"w0": [0, 1, 2]},
        "y",
        "its weight serves a node that is no",
    ),
    "is read in two ways": (
        proto(TURNED, "w0 6 8, w1 7 8, w2 8 6"),
        {"w0": [0, 1]},
        "c",
        "its weight",
    ),
    "is laid on in two ways": (
        proto(DILATED, "w0 8 3 1 1, w1 5 8 3 3"),
        {"w0": [0]},
        "m",
        "its weight",
    ),
    "is not finite": (proto(FAR, "w0 6 8, w1 8 5"), {"w0": [0, 1]}, "y", "not finite"),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_weight_stays_that_cannot_be_fitted(name: str) -> None:
    model, kept, output, reason = LEFT[name]
    _, small, done = refitted(model, kept)
    node = next(n for n in small.nodes if n.outputs[0].name == output)
    assert reason in done.left[str(node.name)]
    assert node.name not in done.fitted
    (weight,) = (str(v.name) for v in node.inputs if v is not None and v.const_value is not None)
    assert weight not in _marked(done.graph)
    assert _bytes(done.graph)[weight] == _bytes(small)[weight]


def test_nodes_inside_others_stay() -> None:
    for model, kept in ((branches(), {"w0": [0, 1, 2]}), (loop(), {"w0": [0, 1, 2, 5]})):
        _, small, done = refitted(model, kept)
        inside = {
            str(value.name)
            for node in small.nodes
            if node.graph is not small.model.graph
            for value in node.inputs
            if value is not None and value.name in small.initializers
        }
        assert inside
        before, after = _bytes(small), _bytes(done.graph)
        assert all(before[name] == after[name] for name in inside)
        assert not inside & set(_marked(done.graph))


def test_what_follows_a_node_with_a_graph_inside_is_fitted() -> None:
    _, _, done = refitted(branches(), {"scale": [0, 1, 2, 3]})
    assert set(_marked(done.graph)) == {"w1", "Conv_7_refitted"}


def test_what_follows_branches_is_fitted() -> None:
    """Though the node itself takes nothing but a flag."""
    model = branches()
    (scaled,) = (node for node in model.graph.node if node.op_type == "Mul")
    model.graph.node.remove(scaled)
    model.graph.node[-1].input[0] = "c"
    del model.graph.initializer[[v.name for v in model.graph.initializer].index("scale")]
    _, _, done = refitted(model, {"we": [0, 1, 2, 3]})
    assert "w1" in _marked(done.graph)


OTHERS = {
    "Gemm": (
        """(float[N,6] x) => (float[N,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            y = Gemm<alpha=0.5>(r, w1)
        }""",
        "w0 6 8, w1 8 5",
        "it is a product (Gemm) that is not fitted",
    ),
    "MatMul": (
        """(float[6,N] x) => (float[5,N] y) {
            h = MatMul(w0, x)
            r = Relu(h)
            y = MatMul(w1, r)
        }""",
        "w0 8 6, w1 5 8",
        "it is a product (MatMul) that is not fitted",
    ),
    "LSTM": (
        """(float[N,4,6] x) => (float[N,1,4,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            y = LSTM<hidden_size=5>(r, w1, w2)
        }""",
        "w0 6 8, w1 1 20 8, w2 1 20 5",
        "it is a product (LSTM) that is not fitted",
    ),
    "MatMulInteger": (
        """(float[N,6] x) => (int32[N,5] y) {
            h = MatMul(x, w0)
            q, s, z = DynamicQuantizeLinear(h)
            y = MatMulInteger(q, w1, z)
        }""",
        "w0 6 8",
        "it is a product (MatMulInteger) that is not fitted",
    ),
    "Conv": (
        """(float[N,6,3] x) => (float[N,5,3] y) {
            h = Conv(x, w0)
            r = Relu(h)
            v = DequantizeLinear(w1, scale, zero)
            y = Conv(r, v)
        }""",
        "w0 8 6 1",
        "it is a product (Conv) that is not fitted",
    ),
}


@pytest.mark.parametrize("method", ["sequential", "merge"])
@pytest.mark.parametrize("name", OTHERS)
def test_products_that_are_not_fitted_are_told(name: str, method: str) -> None:
    text, shapes, reason = OTHERS[name]
    extra = {
        "MatMulInteger": {"w1": np.arange(40, dtype=np.uint8).reshape(8, 5)},
        "Conv": {
            "w1": np.arange(40, dtype=np.int8).reshape(5, 8, 1),
            "scale": np.array(0.1, np.float32),
            "zero": np.array(0, np.int8),
        },
    }
    model = proto(text, shapes, **extra.get(name, {}))
    units = chosen(model, {"w0": [0, 1, 2]})
    small = prune(units)
    fits = {
        "sequential": lambda: refit(units, small, calibration(model)),
        "merge": lambda: merge(units, small),
    }
    assert list(fits[method]().left.values()) == [reason]


def test_products_inside_others_are_told() -> None:
    _, _, done = refitted(branches(), {"w0": [0, 1, 2]})
    assert list(done.left.values()) == ["its products (Conv) are inside of it"]


def test_products_of_constants_stay() -> None:
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            t = Gather(table, first)
            u = MatMul(t, w0)
            h = MatMul(x, w1)
            s = Add(h, u)
            r = Relu(s)
            y = MatMul(r, w2)
        }""",
        "table 3 4, w0 4 8, w1 6 8, w2 8 5",
        first=ints(1),
    )
    _, _, done = refitted(model, {"w1": [0, 1, 2]})
    assert set(_marked(done.graph)) == {"w2"}


def test_inputs_that_do_not_fit_are_told() -> None:
    model = proto(FORK, SHAPES)
    units = chosen(model, {"w0": [0, 1, 2]})
    wrong = Calibration(lambda: [{"x": np.zeros((4, 7), np.float32)}], 4)
    with pytest.raises(OnnxPruneError, match="does not run with these inputs"):
        refit(units, prune(units), wrong)


def test_nodes_that_share_a_weight_with_one_that_stays_stay_too() -> None:
    model = proto(
        """(float[N,6] x) => (float[N,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            p = MatMul(r, w1)
            i = Reciprocal(r)
            q = MatMul(i, w1)
            t = Tanh(q)
            y = Add(p, t)
        }""",
        "w0 6 8, w1 8 5",
    )
    _, small, done = refitted(model, {"w0": [0, 1, 2]})
    assert done.fitted == []
    names = {str(n.outputs[0].name): str(n.name) for n in small.nodes}
    assert done.left == {
        names["p"]: "its weight serves a node that stays as sliced",
        names["q"]: "what flows through it is not finite",
    }
