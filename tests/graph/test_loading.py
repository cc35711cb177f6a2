from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, image, same_answers, tensor, text_model, write

from onnxprune.errors import LoadError
from onnxprune.graph import Graph, load


def test_a_path_a_string_a_proto_and_an_ir_model_give_the_same_graph(tmp_path: Path) -> None:
    path = write(cnn(), tmp_path / "m.onnx")
    graphs = [load(path), load(str(path)), load(onnx.load(path)), load(ir.load(path)), load(cnn())]
    texts = {ir.to_onnx_text(graph.model) for graph in graphs}
    assert len(texts) == 1
    assert graphs[0].source.path == path
    assert graphs[2].source.path is None


def test_the_source_is_known_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = write(cnn(), tmp_path / "m.onnx")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(path).source.sha256 == digest
    assert load(cnn()).source.sha256 == load(cnn()).source.sha256
    other = cnn()
    other.graph.initializers["b3"].const_value = tensor("b3", 5, seed=1)
    assert load(other).source.sha256 != load(cnn()).source.sha256


def test_a_graph_is_returned_as_it_is() -> None:
    graph = load(cnn())
    assert load(graph) is graph


def test_the_callers_model_is_not_changed() -> None:
    model = cnn()
    model.graph[1].outputs[0].dtype = ir.DataType.FLOAT
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    load(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    proto = ir.to_proto(cnn())
    before = proto.SerializeToString(deterministic=True)
    load(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_the_graph_offers_nodes_initializers_inputs_and_outputs() -> None:
    graph = load(cnn())
    assert [node.op_type for node in graph.nodes][:3] == ["Conv", "Relu", "Conv"]
    assert set(graph.initializers) == {"w1", "w2", "b", "b__2", "w3", "b3"}
    assert [value.name for value in graph.inputs + graph.outputs] == ["x", "y"]
    assert graph.opset() == 17
    assert graph.opset("com.microsoft") is None
    assert str(graph) == "Graph(the model, 7 nodes)"


def test_the_signature_is_kept_as_declared() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float["batch-size",?,-1] x, float z) => (float["batch-size",?,?] y) { y = Relu (x) }
    """.replace("?,-1", "?,?")
    model = text_model(text)
    before = ir.to_proto(model)
    after = ir.to_proto(load(model).model)
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_supported_opset_loads(opset: int) -> None:
    graph = load(cnn(opset))
    assert [str(dim) for dim in graph.shape(graph.outputs[0]) or ()] == ["batch", "5"]
    assert all(graph.shape(value) for node in graph.nodes for value in node.outputs)


def test_unsorted_nodes_are_sorted() -> None:
    proto = ir.to_proto(cnn())
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    assert [node.op_type for node in load(proto).nodes] == [node.op_type for node in nodes]


def test_unknown_operators_and_domains_load_with_unknown_shapes() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17, "acme" : 3]>
    g (float[2,3] x) => (float[2,3] y) {
      a = acme.Mystery <depth = 3> (x)
      b = Invented (a)
      y = Relu (b)
    }
    """
    graph = load(text_model(text))
    mystery, invented, _ = graph.nodes
    assert graph.shape(mystery.outputs[0]) is None
    assert graph.shape(invented.outputs[0]) is None
    assert [str(dim) for dim in graph.shape(graph.outputs[0]) or ()] == ["2", "3"]


def test_a_large_model_loads_without_reading_its_weights(tmp_path: Path) -> None:
    size = 3 << 30
    with (tmp_path / "big.data").open("wb") as file:
        file.truncate(size)  # sparse: no disk is used, and reading it all would take seconds
    elements = size // 4 // 1024
    external = ir.ExternalTensor(
        "big.data", 0, size, ir.DataType.FLOAT, shape=ir.Shape([1024, elements]), name="w"
    )
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[n,1024] x) => (float[n,m] y) { t = Transpose (w) u = Transpose (t) y = MatMul (x, u) }
    """
    path = write(text_model(text, external), tmp_path / "big.onnx")
    graph = load(path)
    weight = graph.initializers["w"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    assert weight.raw is None
    assert [dim.size for dim in graph.shape(graph.outputs[0]) or ()][1] == elements


def test_external_data_are_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.save(cnn(), tmp_path / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    monkeypatch.chdir(tmp_path)
    graphs = [load("m.onnx"), load(ir.load("m.onnx"))]
    monkeypatch.chdir("/")
    for graph in graphs:
        tensor_ = graph.initializers["w1"].const_value
        assert isinstance(tensor_, ir.ExternalTensor)
        np.testing.assert_array_equal(tensor_.numpy(), tensor("w1", 4, 3, 3, 3).numpy())


def test_the_normalised_model_gives_the_same_answers() -> None:
    same_answers(cnn(), load(cnn()).model, image())


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, onnxprune.graph; "
        "print([m for m in ('torch', 'onnxruntime', 'onnxscript', 'onnx_shape_inference') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_something_else_is_refused() -> None:
    with pytest.raises(LoadError, match="cannot load a list; give a path"):
        load([1])  # type: ignore[arg-type]


def test_graphs_compare_by_identity() -> None:
    assert load(cnn()) != load(cnn())
    assert isinstance(load(cnn()), Graph)
