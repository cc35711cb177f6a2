"""External data lie in the model's folder, or the model is refused before anything is read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, refusal, tensor, write

from onnxprune.graph import load


class TestExternalData:
    def save(self, tmp_path: Path, location: str | None = None, **changes: str) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        ir.save(cnn(), folder / "m.onnx", external_data="m.data", size_threshold_bytes=0)
        proto = onnx.load(folder / "m.onnx", load_external_data=False)
        if location is not None:
            changes["location"] = location
        for item in proto.graph.initializer[0].external_data:
            item.value = changes.get(item.key, item.value)
        return write(proto, folder / "m.onnx")

    def test_in_the_folder_is_fine(self, tmp_path: Path) -> None:
        assert load(self.save(tmp_path)).nodes

    def test_in_a_subfolder_is_fine(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, "data/m.data")
        (path.parent / "data").mkdir()
        (path.parent / "data" / "m.data").write_bytes((path.parent / "m.data").read_bytes())
        weight = load(path).initializers["w1"].const_value
        assert weight is not None
        np.testing.assert_array_equal(weight.numpy(), tensor("w1", 4, 3, 3, 3).numpy())

    def test_missing(self, tmp_path: Path) -> None:
        path = self.save(tmp_path)
        (path.parent / "m.data").unlink()
        message = refusal(path)
        assert "m.data, which cannot be read (No such file or directory)" in message
        assert message.endswith("put the file beside the model")

    def test_too_short(self, tmp_path: Path) -> None:
        path = self.save(tmp_path)
        with (path.parent / "m.data").open("r+b") as file:
            file.truncate(100)
        assert "cut short or of another model" in refusal(path)

    @pytest.mark.parametrize("offset", ["999999999999", "-4"])
    def test_an_offset_outside(self, tmp_path: Path, offset: str) -> None:
        refusal(self.save(tmp_path, offset=offset))

    def test_a_length_that_contradicts_the_shape(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, length="8")
        assert "should hold 432 bytes by its shape and holds 8" in refusal(path)

    @pytest.mark.parametrize(
        "location", ["../secret", "a/../../secret", "/etc/passwd", "", "a\0b", ".", ".."]
    )
    def test_outside_of_the_folder(self, tmp_path: Path, location: str) -> None:
        (tmp_path / "secret").write_bytes(bytes(9999))
        refusal(self.save(tmp_path, location))

    def test_outside_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(bytes(9999))
        assert "outside of the model's folder" in refusal(self.save(tmp_path, "../secret"))

    def test_a_symlink_that_leads_outside(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(bytes(9999))
        path = self.save(tmp_path, "link")
        (path.parent / "link").symlink_to(tmp_path / "secret")
        assert "outside of the model's folder" in refusal(path)

    def test_a_symlinked_folder_that_leads_outside(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "secret").write_bytes(bytes(9999))
        path = self.save(tmp_path, "link/secret")
        (path.parent / "link").symlink_to(tmp_path / "elsewhere")
        assert "outside of the model's folder" in refusal(path)

    def test_a_hard_link(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(bytes(9999))
        path = self.save(tmp_path, "link")
        os.link(tmp_path / "secret", path.parent / "link")
        assert "hard-linked" in refusal(path)

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        path = self.save(tmp_path, "pipe")
        os.mkfifo(path.parent / "pipe")
        assert "not a plain file" in refusal(path)

    def test_a_model_object_does_not_say_where_they_are(self, tmp_path: Path) -> None:
        proto = onnx.load(self.save(tmp_path), load_external_data=False)
        assert "give its path" in refusal(proto)

    def test_a_symlink_to_the_model_itself_is_fine(self, tmp_path: Path) -> None:
        path = self.save(tmp_path)
        (path.parent / "alias.onnx").symlink_to(path)
        assert load(path.parent / "alias.onnx").nodes

    def test_the_data_of_a_branch_are_checked(self, tmp_path: Path) -> None:
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
        secret = ir.ExternalTensor(
            "../secret", 0, 8, ir.DataType.FLOAT, shape=ir.Shape([2]), name="k"
        )
        branch.initializer.append(ir.serde.serialize_tensor(secret))
        (tmp_path / "model").mkdir()
        (tmp_path / "secret").write_bytes(bytes(8))
        path = write(proto, tmp_path / "model" / "m.onnx")
        assert "outside of the model's folder" in refusal(path)
