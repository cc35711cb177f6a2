"""Models that are none, and models that cannot be dealt with: one clear line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import Refused, Run
from helpers import proto

PRUNE = ("--ratio", "0.5", "-o", "small.onnx")

CUSTOM = """(float[N,3] x) => (float[N,2] y) {
    a = MatMul(x, w0)
    b = MatMul(a, w1)
    c = com.acme.Magic(b)
    y = MatMul(c, w2)
}"""
CUSTOM_SHAPES = "w0 3 8, w1 8 6, w2 6 2"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty; export or download the model again"),
        (b"a model, honestly\n" * 9, "not an ONNX model but a text file; give the path"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\x03\x04 and so on", "a zip archive (a torch checkpoint"),
        (np.random.default_rng(0).bytes(5000), "not an ONNX model; give the path"),
        (b"\0" * 100, "not an ONNX model; give the path"),
    ],
    ids=["empty", "text", "lfs", "zip", "junk", "zeros"],
)
@pytest.mark.parametrize("command", ["inspect", "prune"])
def test_a_file_that_is_no_model(
    refused: Refused, folder: Path, command: str, content: bytes, says: str
) -> None:
    (folder / "bad.onnx").write_bytes(content)
    said = refused(command, "bad.onnx", *(PRUNE if command == "prune" else ()))
    assert said.startswith(f"bad.onnx: {says}" if not says.startswith("a ") else "bad.onnx: not")
    assert says in said


@pytest.mark.parametrize("command", [["inspect"], ["units"], ["explain"], ["prune"], ["verify"]])
def test_a_path_that_is_no_file(refused: Refused, command: list[str]) -> None:
    more = {"prune": PRUNE, "explain": ("name",), "verify": ("model.onnx",)}.get(command[0], ())
    assert refused(*command, "none.onnx", *more) == "none.onnx: no such file; check the path"
    assert refused(*command, ".", *more) == (
        ".: this is a directory; give the path of the .onnx file in it"
    )
    assert "not a regular file" in refused(*command, "/dev/null", *more)


def test_a_model_that_is_cut_short_anywhere(refused: Refused, folder: Path) -> None:
    data = (folder / "model.onnx").read_bytes()
    for size in np.linspace(1, len(data) - 1, 25).astype(int):
        (folder / "cut.onnx").write_bytes(data[:size])
        assert refused("prune", "cut.onnx", *PRUNE).startswith("cut.onnx: ")


def test_a_model_with_a_wrong_byte_anywhere(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is then, it is no error of onnxprune itself."""
    from onnxprune.cli import _run

    data = bytearray((folder / "model.onnx").read_bytes())
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(data), 40):
        broken = data.copy()
        broken[place] ^= 1 << int(rng.integers(8))
        (folder / "broken.onnx").write_bytes(broken)
        code = _run(["inspect", "broken.onnx"])
        err = capfd.readouterr().err
        assert (code, err) == (0, "") or (code == 2 and err.startswith("onnxprune: broken.onnx: "))


def test_external_data(refused: Refused, folder: Path) -> None:
    model = onnx.load("model.onnx")
    onnx.save(model, "split.onnx", save_as_external_data=True, location="data", size_threshold=0)
    (folder / "data").rename(folder / "elsewhere")
    said = refused("prune", "split.onnx", *PRUNE)
    assert said.startswith("split.onnx: its tensor 'net.conv0.weight' lies in the external data")
    assert said.endswith("; put the file beside the model")
    outside = onnx.load("split.onnx", load_external_data=False)
    for location in ("../../../etc/passwd", "/etc/passwd"):
        for tensor in outside.graph.initializer:
            tensor.external_data[0].value = location
        (folder / "outside.onnx").write_bytes(outside.SerializeToString())
        said = refused("prune", "outside.onnx", *PRUNE)
        assert "refused for safety; put the data file beside the model" in said


@pytest.mark.parametrize("version", [99, 6])
def test_an_opset_that_nobody_knows(refused: Refused, version: int) -> None:
    model = onnx.load("model.onnx")
    model.opset_import[0].version = version
    onnx.save(model, "opset.onnx")
    said = refused("prune", "opset.onnx", *PRUNE)
    assert said.startswith(f"opset.onnx: it uses opset {version}; opsets 7 to ")


def test_an_operator_that_nobody_knows_is_a_barrier(run: Run) -> None:
    onnx.save(proto(CUSTOM, CUSTOM_SHAPES), "custom.onnx")
    out = run("prune", "custom.onnx", *PRUNE, "--no-verify").out
    assert ": no rule for the operator com.acme::Magic (1 unit)\n" in out
    weights = {t.name: list(t.dims) for t in onnx.load("small.onnx").graph.initializer}
    assert weights == {"w0": [3, 4], "w1": [4, 6], "w2": [6, 2]}


def test_what_onnxruntime_does_not_know_is_not_verified(refused: Refused) -> None:
    onnx.save(proto(CUSTOM, CUSTOM_SHAPES), "custom.onnx")
    said = refused("prune", "custom.onnx", *PRUNE)
    assert said.startswith("custom.onnx: onnxruntime does not load the original (com.acme:Magic")
    assert said.endswith(
        ", so nothing can be verified; repair the model, or do without (--no-verify)"
    )
    assert "/tmp" not in said


def test_a_model_that_onnxruntime_does_not_load(refused: Refused) -> None:
    body = "(float[N,3] x) => (float[N,2] y) { a = MatMul(x, w0)\n y = MatMul(a, w1) }"
    model = proto(body, "w0 3 8, w1 8 2")
    model.ir_version = 99
    onnx.save(model, "future.onnx")
    said = refused("prune", "future.onnx", *PRUNE)
    assert "onnxruntime does not load the original" in said


def test_a_model_without_weights(refused: Refused) -> None:
    onnx.save(proto("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"), "bare.onnx")
    said = refused("prune", "bare.onnx", *PRUNE, code=1)
    assert said == "bare.onnx: it has no weights, so nothing can be pruned"


def test_a_model_of_one_layer(refused: Refused) -> None:
    onnx.save(proto("(float[N,3] x) => (float[N,4] y) { y = MatMul(x, w) }", "w 3 4"), "one.onnx")
    said = refused("prune", "one.onnx", *PRUNE, code=1)
    assert said.startswith("one.onnx: no unit may lose channels, since 'x': a graph input keeps")


def test_a_model_that_takes_what_cannot_be_made_up(refused: Refused) -> None:
    body = """(string[N,3] x, float[N,3] z) => (string[N,3] y, float[N,4] q) {
        y = Identity(x)
        h = MatMul(z, w0)
        q = MatMul(h, w1)
    }"""
    onnx.save(proto(body, "w0 3 8, w1 8 4"), "words.onnx")
    said = refused("prune", "words.onnx", *PRUNE)
    assert said == (
        "words.onnx: random values do not suit its input 'x' (STRING); give feeds (--feeds)"
    )


def test_a_model_whose_answers_do_not_vary(run: Run, folder: Path) -> None:
    body = """(float[N,3] x) => (float[N,4] y) {
        h = MatMul(x, w0)
        a = MatMul(h, w1)
        y = Sub(a, a)
    }"""
    onnx.save(proto(body, "w0 3 8, w1 8 4"), "constant.onnx")
    answer = run("prune", "constant.onnx", *PRUNE, code=1)
    assert "do not vary, so nothing can be shown; give feeds (--feeds)" in answer.err
    assert not (folder / "small.onnx").exists()
