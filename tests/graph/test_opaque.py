"""Shapes that only the model's author can tell: behind operators that nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import ints, proto, run, to_proto

import onnxprune as op
from onnxprune.graph import Graph, load

TEXT = """
<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
g (float[batch,3,8,8] x) => (float[batch,4,8,8] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = acme.Mystery (a)
    c = Conv <pads = [1, 1, 1, 1]> (b, w2)
    d = Relu (c)
    y = Conv <pads = [1, 1, 1, 1]> (d, w3)
}
"""

SHAPES = {"w1": (6, 3, 3, 3), "w2": (8, 6, 3, 3), "w3": (4, 8, 3, 3)}


def declared(*shape: int | str) -> onnx.ModelProto:
    """The model, with a shape for the result of the operator that nobody knows."""
    model = onnx.parser.parse_model(TEXT)
    random = np.random.default_rng(0)
    for name, sizes in SHAPES.items():
        weight = random.standard_normal(sizes).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    if shape:
        info = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, shape)
        model.graph.value_info.append(info)
    return model


def shape_of(graph: Graph, name: str) -> list[str] | None:
    value = next(v for node in graph.nodes for v in node.outputs if v.name == name)
    dims = graph.shape(value)
    return None if dims is None else [str(dim) for dim in dims]


def test_without_a_declared_shape_nothing_is_known_behind() -> None:
    graph = load(declared())
    assert shape_of(graph, "b") is None
    assert not op.find_units(graph).mutable


def test_a_declared_shape_counts_behind() -> None:
    graph = load(declared("batch", 6, 8, 8))
    assert shape_of(graph, "d") == ["batch", "8", "8", "8"]
    [unit] = op.find_units(graph).mutable
    assert unit.mutable_channel.num_channels == 8


def test_symbols_that_no_input_has_say_nothing() -> None:
    batch, channels, *_ = shape_of(load(declared("other", 6, "other", 8)), "d") or []
    assert (batch == "other", channels) == (False, "8")


@pytest.mark.parametrize("shape", [("batch", 7, 8, 8), ("batch", 6)])
def test_a_shape_that_does_not_fit_what_follows_frees_nothing(shape: tuple[int | str, ...]) -> None:
    assert not op.find_units(load(declared(*shape))).mutable


def test_it_is_kept_when_the_model_is_pruned_and_saved(tmp_path: Path) -> None:
    units = op.find_units(load(declared("batch", 6, 8, 8)))
    op.choose(units, op.ratio(0.5))
    small = op.prune(units)
    assert shape_of(small, "d") == ["batch", "4", "8", "8"]
    op.save(small, tmp_path / "small.onnx")
    [info] = onnx.load(tmp_path / "small.onnx").graph.value_info
    assert info.name == "b"
    [unit] = op.find_units(load(tmp_path / "small.onnx")).mutable
    assert unit.mutable_channel.num_channels == 4


def test_nothing_is_computed_from_a_declared_shape() -> None:
    """Whoever declares a wrong one has the answers of the model as it is."""
    model = proto(
        """(float[N,4] x) => (int64[1] y) {
            a = com.microsoft.UnfoldTensor<dim=1, size=2, step=2>(x)
            y0 = Shape<start=1, end=2>(a)
            y = Add(y0, one)
        }""",
        one=ints(1),
    )
    info = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ("N", 7, 2))
    model.graph.value_info.append(info)
    feeds = {"x": np.zeros((2, 4), np.float32)}
    assert run(model, feeds)["y"] == run(to_proto(load(model)), feeds)["y"] == [3]
