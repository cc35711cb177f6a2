from __future__ import annotations

import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, image, run, same_answers, tensor, text_model

from onnxprune.errors import SaveError
from onnxprune.graph import load, save

MATMUL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[n,K] x) => (float[n,m] y) { y = MatMul (x, w) }
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lazy(name: str, make: object, *shape: int) -> ir.LazyTensor:
    return ir.LazyTensor(make, dtype=ir.DataType.FLOAT, shape=ir.Shape(shape), name=name)  # type: ignore[arg-type]


def with_weight(weight: ir.TensorProtocol) -> ir.Model:
    """A model whose only weight is the given tensor; nothing evaluates it."""
    model = text_model(MATMUL.replace("K", str(weight.shape[0])), tensor("w", 1, 1))
    model.graph.initializers["w"].const_value = weight
    return model


@pytest.mark.parametrize("external", [False, True])
def test_what_was_saved_gives_the_same_answers(tmp_path: Path, external: bool) -> None:
    path = tmp_path / "m.onnx"
    save(load(cnn()), path, external=external)
    onnx.checker.check_model(path, full_check=True)
    same_answers(cnn(), path, image())
    assert names(tmp_path) == ["m.onnx"]  # all weights are small


@pytest.mark.parametrize("external", [False, True])
def test_every_data_type_survives(tmp_path: Path, external: bool) -> None:
    model = text_model(
        '<ir_version: 12, opset_import: ["" : 24]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    expected = {}
    for dtype in ir.DataType:
        if dtype in (ir.DataType.UNDEFINED, ir.DataType.STRING):
            continue
        array = np.array([0, 1, 1] * 3000).astype(dtype.numpy())
        value = ir.Value(name=dtype.name, const_value=ir.Tensor(array, name=dtype.name))
        model.graph.register_initializer(value)
        expected[dtype.name] = array
    words = ir.StringTensor(np.array([b"a", b"bc"]), shape=ir.Shape([2]), name="words")
    model.graph.register_initializer(ir.Value(name="words", const_value=words))
    save(model, tmp_path / "m.onnx", external=external)
    back = ir.load(tmp_path / "m.onnx").graph.initializers
    assert set(back) == {*expected, "words"}
    for name, array in expected.items():
        found = back[name].const_value
        assert found is not None
        assert isinstance(found, ir.ExternalTensor) == external
        assert found.numpy().tobytes() == array.tobytes()
    assert list(back["words"].const_value.numpy()) == [b"a", b"bc"]  # type: ignore[union-attr]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save(load(cnn()), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_model_is_not_changed(tmp_path: Path) -> None:
    graph = load(cnn())
    before = ir.to_proto(graph.model).SerializeToString(deterministic=True)
    save(graph, tmp_path / "a.onnx")
    save(graph, tmp_path / "b.onnx", external=True)
    assert ir.to_proto(graph.model).SerializeToString(deterministic=True) == before


def test_annotations_of_intermediate_values_are_left_out(tmp_path: Path) -> None:
    model = cnn()
    for node in model.graph:
        node.outputs[0].shape = ir.Shape([1, 2, 3])
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.outputs[0].shape = ir.Shape(["batch", 5])
    save(model, tmp_path / "m.onnx")
    assert not onnx.load(tmp_path / "m.onnx").graph.value_info
    same_answers(cnn(), tmp_path / "m.onnx", image())


def test_metadata_and_documentation_are_kept(tmp_path: Path) -> None:
    model = cnn()
    model.metadata_props["pkg.onnxprune.version"] = "1"
    model.graph.metadata_props["g"] = "2"
    model.graph[0].metadata_props["n"] = "3"
    model.graph.initializers["w1"].metadata_props["v"] = "4"
    weight = tensor("w2", 4, 4, 3, 3)
    weight.metadata_props["t"] = "5"
    weight.doc_string = "six"
    model.graph.initializers["w2"].const_value = weight
    save(model, tmp_path / "m.onnx")
    back = ir.load(tmp_path / "m.onnx")
    assert back.metadata_props["pkg.onnxprune.version"] == "1"
    assert back.graph.metadata_props["g"] == "2"
    assert back.graph[0].metadata_props["n"] == "3"
    assert back.graph.initializers["w1"].metadata_props["v"] == "4"
    kept = back.graph.initializers["w2"].const_value
    assert kept is not None
    assert kept.metadata_props["t"] == "5"
    assert kept.doc_string == "six"


class TestMergingCopies:
    def saved(self, model: ir.Model, tmp_path: Path) -> set[str]:
        save(model, tmp_path / "m.onnx")
        return set(ir.load(tmp_path / "m.onnx").graph.initializers)

    def test_copies_that_are_still_equal_become_one_again(self, tmp_path: Path) -> None:
        graph = load(cnn())
        assert "b__2" in graph.initializers
        assert self.saved(graph.model, tmp_path) == {"w1", "w2", "w3", "b", "b3"}

    def test_copies_that_became_different_stay(self, tmp_path: Path) -> None:
        model = load(cnn()).model
        model.graph.initializers["b__2"].const_value = tensor("b__2", 4)
        assert "b__2" in self.saved(model, tmp_path)

    def test_other_equal_vectors_keep_their_names(self, tmp_path: Path) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x) => (float[4] y) { c = Add (x, a) y = Add (c, b) }
        """
        zeros = [ir.Tensor(np.zeros(4, np.float32), name=name) for name in "ab"]
        assert self.saved(text_model(text, *zeros), tmp_path) == {"a", "b"}


class TestRefusals:
    def test_an_existing_file_is_kept_without_force(self, tmp_path: Path) -> None:
        path = tmp_path / "m.onnx"
        path.write_text("precious")
        with pytest.raises(SaveError, match=r"m\.onnx: the file exists; choose another name"):
            save(cnn(), path)
        assert path.read_text() == "precious"
        save(cnn(), path, force=True)
        assert load(path).nodes

    def test_an_existing_data_file_is_kept_without_force(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx.data").write_text("precious")
        with pytest.raises(SaveError, match=r"m\.onnx\.data: the file exists"):
            save(with_weight(tensor("w", 64, 64)), tmp_path / "m.onnx", external=True)
        assert names(tmp_path) == ["m.onnx.data"]

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(SaveError, match="this is a directory"):
            save(cnn(), tmp_path, force=True)

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SaveError, match="there is no folder"):
            save(cnn(), tmp_path / "none" / "m.onnx")

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("")
        with pytest.raises(SaveError):
            save(cnn(), tmp_path / "f" / "m.onnx")

    def test_a_folder_without_permission(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(SaveError, match="is not permitted"):
            save(cnn(), tmp_path / "m.onnx")

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(SaveError, match="cannot be written"):
            save(cnn(), "a\0b")

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(SaveError, match="cannot be written"):
            save(cnn(), tmp_path / ("n" * 300))
        assert names(tmp_path) == []

    def test_more_than_protobuf_can_hold(self, tmp_path: Path) -> None:
        def never() -> ir.Tensor:
            raise AssertionError("evaluated")

        model = with_weight(lazy("w", never, 1024, 1024 * 1024))
        with pytest.raises(SaveError, match="more than 2 GB and needs external data"):
            save(model, tmp_path / "m.onnx", external=False)
        assert names(tmp_path) == []

    def test_a_tensor_that_is_not_what_it_claims(self, tmp_path: Path) -> None:
        model = with_weight(lazy("w", lambda: tensor("w", 3, 3), 4, 4))
        with pytest.raises(SaveError, match="'w' has 36 bytes and claims to have 64"):
            save(model, tmp_path / "m.onnx")
        assert names(tmp_path) == []


class TestAllOrNothing:
    @pytest.mark.parametrize("external", [False, True])
    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
    def test_nothing_is_left_when_a_weight_cannot_be_computed(
        self, tmp_path: Path, external: bool, error: type[BaseException]
    ) -> None:
        def fail() -> ir.Tensor:
            raise error

        with pytest.raises(error):
            save(with_weight(lazy("w", fail, 64, 64)), tmp_path / "m.onnx", external=external)
        assert names(tmp_path) == []

    def test_what_was_there_stays_when_writing_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "m.onnx"
        save(with_weight(tensor("w", 64, 64)), path, external=True)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

        def fail() -> ir.Tensor:
            raise OSError(28, "No space left on device")

        with pytest.raises(SaveError, match="No space left on device"):
            save(with_weight(lazy("w", fail, 64, 64)), path, external=True, force=True)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    def test_no_new_data_file_stays_without_its_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = os.replace

        def fail_for_the_model(source: Path, target: Path) -> None:
            if Path(target).suffix == ".onnx":
                raise OSError(5, "Input/output error")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fail_for_the_model)
        with pytest.raises(SaveError, match="Input/output error"):
            save(with_weight(tensor("w", 64, 64)), tmp_path / "m.onnx", external=True)
        assert names(tmp_path) == []

    def test_permissions_are_the_usual_ones(self, tmp_path: Path) -> None:
        (tmp_path / "usual").write_text("")
        save(cnn(), tmp_path / "m.onnx")
        modes = {path.stat().st_mode for path in tmp_path.iterdir()}
        assert len(modes) == 1


class TestExternalData:
    def test_large_weights_go_to_a_data_file_by_themselves(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = sys.modules["onnxprune.graph.save"]
        monkeypatch.setattr(module, "_LARGEST_SINGLE_FILE", 10_000)
        model = with_weight(tensor("w", 64, 64))
        save(model, tmp_path / "m.onnx")
        assert names(tmp_path) == ["m.onnx", "m.onnx.data"]
        same_answers(model, tmp_path / "m.onnx", {"x": np.ones((2, 64), np.float32)})
        assert load(tmp_path / "m.onnx").nodes

    def test_external_weights_become_internal_ones(self, tmp_path: Path) -> None:
        model = with_weight(tensor("w", 64, 64))
        save(model, tmp_path / "a.onnx", external=True)
        save(load(tmp_path / "a.onnx"), tmp_path / "b.onnx")
        (tmp_path / "a.onnx.data").unlink()
        same_answers(model, tmp_path / "b.onnx", {"x": np.ones((2, 64), np.float32)})

    def test_external_weights_move_to_another_folder(self, tmp_path: Path) -> None:
        model = with_weight(tensor("w", 64, 64))
        save(model, tmp_path / "a.onnx", external=True)
        (tmp_path / "sub").mkdir()
        save(load(tmp_path / "a.onnx"), tmp_path / "sub" / "b.onnx", external=True)
        (tmp_path / "a.onnx.data").unlink()
        assert names(tmp_path / "sub") == ["b.onnx", "b.onnx.data"]
        same_answers(model, tmp_path / "sub" / "b.onnx", {"x": np.ones((2, 64), np.float32)})

    def test_a_model_may_be_saved_over_the_files_it_is_mapped_from(self, tmp_path: Path) -> None:
        path = tmp_path / "m.onnx"
        model = with_weight(tensor("w", 64, 64))
        save(model, path, external=True)
        graph = load(path)
        weight = graph.initializers["w"].const_value
        assert isinstance(weight, ir.ExternalTensor)
        weight.numpy()
        half = lazy("w", lambda: ir.Tensor(weight.numpy()[:, :32].copy()), 64, 32)
        graph.model.graph.initializers["w"].const_value = half
        save(graph, path, external=True, force=True)
        feeds = {"x": np.ones((2, 64), np.float32)}
        np.testing.assert_allclose(run(path, feeds)[0], run(model, feeds)[0][:, :32], rtol=1e-5)

    def test_tensors_of_a_replaced_data_file_cannot_be_read_by_mistake(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "m.onnx"
        save(with_weight(tensor("w", 64, 64)), path, external=True)
        graph = load(path)
        save(graph, path, external=True, force=True)
        weight = graph.initializers["w"].const_value
        assert weight is not None
        with pytest.raises(ValueError, match="invalidated"):
            weight.numpy()

    def test_weights_of_branches_are_written_too(self, tmp_path: Path) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2] x) => (float[2] y) {
          y = If (c) <
            then_branch = t () => (float[2] a) { a = Add (x, k) },
            else_branch = e () => (float[2] b) { b = Neg (x) }
          >
        }
        """
        proto = onnx.parser.parse_model(text)
        branch = next(a.g for a in proto.graph.node[0].attribute if a.name == "then_branch")
        (tmp_path / "k.data").write_bytes(np.array([1, 2], np.float32).tobytes())
        outside = ir.ExternalTensor(
            "k.data", 0, 8, ir.DataType.FLOAT, shape=ir.Shape([2]), name="k"
        )
        branch.initializer.append(ir.serde.serialize_tensor(outside))
        (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
        graph = load(tmp_path / "a.onnx")
        save(graph, tmp_path / "b.onnx")
        (tmp_path / "k.data").unlink()
        feeds = {"c": np.array(True), "x": np.zeros(2, np.float32)}
        np.testing.assert_array_equal(run(tmp_path / "b.onnx", feeds)[0], [1, 2])


@pytest.mark.parametrize("external", [False, True])
def test_weights_are_in_memory_one_at_a_time(tmp_path: Path, external: bool) -> None:
    count, size = 12, 512 * 1024
    lines = "\n".join(f"a{i + 1} = Add (a{i}, w{i})" for i in range(count))
    text = f"""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[n,{size}] a0) => (float[n,{size}] y) {{ {lines} y = Relu (a{count}) }}
    """
    model = text_model(text, *(tensor(f"w{i}", 1, 1) for i in range(count)))
    for i, value in enumerate(model.graph.initializers.values()):
        value.const_value = lazy(
            f"w{i}", lambda i=i: ir.Tensor(np.full((1, size), i, np.float32)), 1, size
        )
    tracemalloc.start()
    try:
        save(model, tmp_path / "m.onnx", external=external)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 4 * size  # a tensor and its bytes, not twelve of them
    back = ir.load(tmp_path / "m.onnx").graph.initializers
    assert [v.const_value.numpy()[0, -1] for v in back.values()] == list(range(count))  # type: ignore[union-attr]


def test_saving_what_was_loaded_and_saved_changes_nothing(tmp_path: Path) -> None:
    save(load(cnn()), tmp_path / "a.onnx")
    save(load(tmp_path / "a.onnx"), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
