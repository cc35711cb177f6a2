"""``onnxprune finetune``: a smaller file is trained to answer as the original does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from commands import Refused, Run, contents

from onnxprune.graph import wire

pytest.importorskip("torch")

pytestmark = pytest.mark.torch

CALL = ("finetune", "small.onnx", "--teacher", "model.onnx", "--data", "data.npy")


@pytest.fixture
def images(folder: Path, run: Run) -> np.ndarray:
    """The data; the smaller model lies beside them."""
    run("prune", "model.onnx", "-o", "small.onnx", "--ratio", "0.5")
    array = np.random.default_rng(0).standard_normal((48, 3, 8, 8)).astype(np.float32)
    np.save(folder / "data.npy", array)
    return array


def error(name: str, images: np.ndarray) -> float:
    """The mean squared difference from the original."""
    sessions = [
        ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        for path in (name, "model.onnx")
    ]
    found, wanted = (session.run(None, {"x": images})[0] for session in sessions)
    return float(np.square(found - wanted).mean())


def test_a_trained_file_is_nearer_and_verified(run: Run, images: np.ndarray) -> None:
    answer = run(*CALL, "-o", "tuned.onnx", "--batch", "8", "--lr", "0.01", "--format", "json").json
    assert answer["data"] == "48 samples of data.npy"
    assert (answer["trained"], answer["frozen"]) == (6, 0)
    assert answer["after"] < answer["before"]
    assert answer["files"] == ["tuned.onnx"]
    before, after = error("small.onnx", images), error("tuned.onnx", images)
    assert after < before
    assert after / before == pytest.approx(answer["after"] / answer["before"], rel=1e-3)
    assert "6 of its weights are refitted" in run("verify", "model.onnx", "tuned.onnx").out


def test_the_text(run: Run, images: np.ndarray) -> None:
    lines = run(*CALL, "-o", "a.onnx", "--epochs", "2", "--freeze", "head.*").out.splitlines()
    assert lines[0] == "data        48 samples of data.npy"
    assert lines[1] == "trained     4 tensors; 2 stay as they are"
    assert lines[2].startswith("loss        ")
    assert lines[3] == "written     a.onnx"
    tensors = [
        {t.name: t.raw_data for t in onnx.load(path).graph.initializer}
        for path in ("small.onnx", "a.onnx")
    ]
    same = {name for name, data in tensors[0].items() if tensors[1][name] == data}
    assert same == {"head.weight", "head.bias"}


def test_the_same_seed_writes_the_same_file(run: Run, images: np.ndarray, folder: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run(*CALL, "-o", f"{name}.onnx", "--epochs", "2", "--batch", "8", "--seed", seed)
    a, b, c = ((folder / f"{name}.onnx").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "small.onnx"], "small.onnx: the file exists"),
        (["-o", "nowhere/t.onnx"], "there is no folder nowhere"),
        (["-o", "t.onnx", "--epochs", "0"], "0 epochs are none"),
        (["-o", "t.onnx", "--lr", "-1"], "The learning rate -1.0 is not a positive number"),
        (["-o", "t.onnx", "--lr", "1e30"], "The loss is not finite at step 2"),
        (["-o", "t.onnx", "--freeze", "tail"], "no initializer matches 'tail'"),
        (["-o", "t.onnx", "--teacher", "none.onnx"], "none.onnx: no such file"),
        (["-o", "t.onnx", "--data", "none.npy"], "none.npy: no such file"),
        ([], "Missing option '-o' / '--output'"),
    ],
)
@pytest.mark.usefixtures("images")
def test_what_cannot_work(refused: Refused, arguments: list[str], says: str) -> None:
    assert says in refused(*CALL, *arguments)


@pytest.mark.usefixtures("images")
def test_no_nearer_is_a_no(refused: Refused) -> None:
    said = refused(*CALL, "-o", "t.onnx", "--epochs", "1", "--lr", "100", code=1)
    assert "did not bring the answers nearer" in said


@pytest.mark.usefixtures("images")
def test_an_interrupt_leaves_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wire, "write_model", interrupted)
    before = contents(folder)
    run(*CALL, "-o", "t.onnx", "--epochs", "1", code=130)
    assert contents(folder) == before


@pytest.mark.usefixtures("images")
def test_without_torch(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("onnxprune.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = refused(*CALL, "-o", "t.onnx")
    assert said == "Torch is not installed; add it: pip install 'onnxprune[torch]'"
