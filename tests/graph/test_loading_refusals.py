"""Model files are untrusted: each way of being no model has its sentence, and nothing else."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, refusal, spoil, text_model, write
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.errors import LoadError
from onnxprune.graph import load


def refused_bytes(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    return message


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    assert refusal(path) == f"{path}: no such file; check the path"


def test_a_directory(tmp_path: Path) -> None:
    assert "this is a directory" in refusal(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    path = write(cnn(), tmp_path / "m.onnx")
    assert "cannot be read (Not a directory)" in refusal(path / "x")


def test_a_path_with_a_null_byte() -> None:
    assert "cannot be read" in refusal("a\0b.onnx")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "not a regular file" in refusal(tmp_path / "pipe.onnx")


def test_a_device_does_not_fill_the_memory() -> None:
    assert "not a regular file" in refusal("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write(cnn(), tmp_path / "m.onnx")
    path.chmod(0)
    assert "not permitted" in refusal(path)


def test_no_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = write(cnn(), tmp_path / "m.onnx")
    monkeypatch.setattr(Path, "read_bytes", deny)
    assert (
        refusal(path) == f"{path}: reading it is not permitted; change its permissions or copy it"
    )


def test_an_empty_file(tmp_path: Path) -> None:
    assert "the file is empty" in refused_bytes(tmp_path, b"")


def test_a_file_above_the_limit_of_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    assert "at most 2 GiB" in refusal(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a PNG image"),
        (b"PK\x03\x04" + bytes(99), "a zip archive"),
        (b"\x80\x02}q\x00." + bytes(99), "a Python pickle"),
        (b"\x1c\0\0\0TFL3" + bytes(99), "a TensorFlow Lite model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"Dear reader,\nthis is not a model.\n", "a text file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    assert f"not an ONNX model but {kind}" in refused_bytes(tmp_path, data)


def test_random_bytes(tmp_path: Path) -> None:
    assert "not an ONNX model" in refused_bytes(tmp_path, b"\xff" + random.Random(0).randbytes(999))


def test_a_truncated_model(tmp_path: Path) -> None:
    data = ir.to_proto(cnn()).SerializeToString()
    message = refused_bytes(tmp_path, data[: len(data) // 2])
    assert "damaged or cut short" in message


def test_a_model_without_a_graph(tmp_path: Path) -> None:
    assert "no graph in it" in refused_bytes(
        tmp_path, onnx.ModelProto(ir_version=8).SerializeToString()
    )


def test_a_graph_without_nodes() -> None:
    proto = ir.to_proto(cnn())
    del proto.graph.node[:]
    assert refusal(proto) == "the model: its graph has no nodes, so there is nothing to prune"


def test_a_graph_without_outputs() -> None:
    proto = ir.to_proto(cnn())
    del proto.graph.output[:]
    assert "its graph has no outputs" in refusal(proto)


def test_an_opset_from_the_future() -> None:
    newest = onnx.defs.onnx_opset_version()
    message = refusal(cnn(newest + 1))
    assert f"it uses opset {newest + 1}; opsets 7 to {newest} of ai.onnx are supported" in message


def test_an_opset_from_the_past() -> None:
    assert "it uses opset 6; opsets 7 to" in refusal(cnn(6))


def test_no_opset() -> None:
    proto = ir.to_proto(cnn())
    del proto.opset_import[:]
    assert "does not say which opset it uses" in refusal(proto)


def test_a_cycle() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.node[1].input[0] = "s"
    assert "its graph has a cycle" in refusal(proto)


def test_a_model_object_out_of_order() -> None:
    model = cnn()
    model.graph.sort()
    nodes = list(model.graph)
    model.graph.remove(nodes[0])
    model.graph.append(nodes[0])
    assert "call model.graph.sort() first" in refusal(model)


def test_an_input_that_nothing_defines() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.node[1].input[0] = "nowhere"
    assert "reads 'nowhere', which nothing defines" in refusal(proto)


def test_an_output_that_nothing_computes() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.output[0].name = "nowhere"
    assert "output 'nowhere' is computed by no node" in refusal(proto)


def test_a_value_computed_twice() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.node[2].output[0] = "c1"
    assert "computes 'c1', which is defined already" in refusal(proto)


def test_a_node_that_overwrites_a_weight() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.node[1].output[0] = "w1"
    assert "computes 'w1', which is defined already" in refusal(proto)


@pytest.mark.parametrize(("field", "kind"), [("initializer", "initializer"), ("input", "input")])
def test_a_name_declared_twice(field: str, kind: str) -> None:
    proto = ir.to_proto(cnn())
    items = getattr(proto.graph, field)
    items.add().CopyFrom(items[0])
    assert f"two of its {kind}s are called" in refusal(proto)


def test_a_name_declared_twice_in_a_branch() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (bool c, float[2] x) => (float[2] y) {
      y = If (c) <
        then_branch = t () => (float[2] a) { a = Relu (x) },
        else_branch = e () => (float[2] b) { b = Neg (x) }
      >
    }
    """
    proto = onnx.parser.parse_model(text)
    branch = proto.graph.node[0].attribute[0].g
    branch.node.add().CopyFrom(branch.node[0])
    assert "'a'" in refusal(proto) or "'b'" in refusal(proto)


def test_a_sparse_initializer() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.sparse_initializer.add()
    assert "sparse initializers" in refusal(proto)


@pytest.mark.parametrize("nested", [False, True], ids=["map", "sequence of maps"])
def test_a_classifier_that_answers_with_a_map(nested: bool) -> None:
    proto = ir.to_proto(cnn())
    keys = onnx.helper.make_map_type_proto(
        onnx.TensorProto.INT64, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    )
    kind = onnx.helper.make_sequence_type_proto(keys) if nested else keys
    proto.graph.output.append(onnx.helper.make_value_info("scores", kind))
    message = refusal(proto)
    assert "'scores' is a map" in message
    assert "without ZipMap" in message


def test_raw_data_that_contradict_their_shape() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.initializer[0].dims[0] = 5
    assert "'w1' should hold 540 bytes by its shape and holds 432" in refusal(proto)


def test_typed_data_that_contradict_their_shape() -> None:
    proto = ir.to_proto(cnn())
    weight = onnx.helper.make_tensor("w3", onnx.TensorProto.FLOAT, [5, 4], np.ones(20))
    del weight.float_data[-1]
    proto.graph.initializer[3].CopyFrom(weight)
    assert "'w3' should hold 20 values by its shape and holds 19" in refusal(proto)


def test_a_claim_of_absurd_size_is_not_believed() -> None:
    proto = ir.to_proto(cnn())
    absurd = onnx.TensorProto(name="w1", data_type=1, dims=[10**9, 10**6])
    proto.graph.initializer[0].CopyFrom(absurd)
    assert "should hold 1,000,000,000,000,000 values by its shape and holds 0" in refusal(proto)


def test_a_constant_node_of_absurd_size_is_not_believed() -> None:
    proto = ir.to_proto(cnn())
    node = onnx.helper.make_node("Constant", [], ["k"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(onnx.TensorProto(data_type=1, dims=[10**15]))
    proto.graph.node.insert(0, node)
    assert "by its shape and holds 0" in refusal(proto)


def test_a_negative_size() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.initializer[0].dims[0] = -4
    assert "'w1' has a negative size" in refusal(proto)


def test_more_axes_than_a_tensor_can_have() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.initializer[0].dims.extend([1] * 99)
    proto.graph.input[0].type.tensor_type.shape.dim.add()
    assert "'w1' has 103 axes; at most 64 are supported" in refusal(proto)


def test_an_unknown_data_type() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.initializer[0].data_type = 99
    assert "not a valid ONNX model" in refusal(proto)


def test_an_undefined_data_type() -> None:
    proto = ir.to_proto(cnn())
    proto.graph.initializer[0].data_type = 0
    assert "'w1' has no data type" in refusal(proto)


@pytest.mark.parametrize(
    "dtype",
    [
        t
        for t in onnx.TensorProto.DataType.values()
        if t not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_honest_tensors_of_every_data_type_pass(dtype: int, raw: bool) -> None:
    data = np.array([0.0, 1.0, 1.0])
    if raw:
        array = data.astype(ir.DataType(dtype).numpy())
        item = ir.serde.serialize_tensor(ir.Tensor(array, name="k"))
    else:
        item = onnx.helper.make_tensor("k", dtype, [3], data)
    proto = onnx.parser.parse_model(
        '<ir_version: 12, opset_import: ["" : 24]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    proto.graph.node.append(onnx.helper.make_node("Identity", ["k"], ["z"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", dtype, [3]))
    proto.graph.initializer.append(item)
    assert "k" in load(proto).initializers


def test_a_function_that_reads_what_nothing_defines() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.one (x) }
    <domain: "f", opset_import: ["" : 17]>
    one (a) => (b) { b = Add (a, nowhere) }
    """
    assert "reads 'nowhere', which nothing defines" in refusal(onnx.parser.parse_model(text))


def test_functions_that_call_themselves() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.one (x) }
    <domain: "f", opset_import: ["" : 17, "f" : 1]>
    one (a) => (b) { b = f.one (a) }
    """
    assert "calls itself" in refusal(onnx.parser.parse_model(text))


def test_functions_that_explode_are_refused_quickly() -> None:
    functions = "".join(
        f'<domain: "f", opset_import: ["" : 17, "f" : 1]> '
        f"f{i} (a) => (b) {{ c = f.f{i + 1} (a) b = f.f{i + 1} (c) }}\n"
        for i in range(40)
    )
    text = f"""
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) {{ y = f.f0 (x) }}
    {functions}
    <domain: "f", opset_import: ["" : 17]>
    f40 (a) => (b) {{ b = Relu (a) }}
    """
    assert "unfold into" in refusal(onnx.parser.parse_model(text))


MODEL = ir.to_proto(cnn()).SerializeToString()


def load_or_refuse(proto: onnx.ModelProto) -> None:
    with contextlib.suppress(LoadError):
        load(proto)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_raise_nothing_but_load_error(data: st.DataObject) -> None:
    damaged = bytearray(MODEL)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(bytes(damaged))
    except Exception:
        return
    load_or_refuse(proto)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_nonsense_in_a_model_raises_nothing_but_load_error(rng: random.Random) -> None:
    proto = onnx.ModelProto.FromString(MODEL)
    for _ in range(rng.randint(1, 4)):
        spoil(proto, rng)
    load_or_refuse(proto)


def test_a_function_body_may_not_smuggle_a_constant_of_absurd_size() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.one (x) }
    <domain: "f", opset_import: ["" : 17]>
    one (a) => (b) { k = Constant <value = float[1] {1.0}> () b = Add (a, k) }
    """
    proto = onnx.parser.parse_model(text)
    proto.functions[0].node[0].attribute[0].t.dims[0] = 10**15
    assert "by its shape" in refusal(proto)


def test_extra_fields_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(MODEL + b"\xfa\x3e\x05hello")  # field 1007, length-delimited
    assert load(path).nodes


def test_a_broken_branch_is_refused() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (bool c, float[2] x) => (float[2] y) {
      y = If (c) <
        then_branch = t () => (float[2] a) { a = Add (x, nowhere) },
        else_branch = e () => (float[2] b) { b = Neg (x) }
      >
    }
    """
    assert "reads 'nowhere', which nothing defines" in refusal(text_model(text))
