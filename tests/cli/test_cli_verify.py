"""verify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import Refused, Run, contents


@pytest.fixture
def pruned(run: Run) -> str:
    files = ("-o", "small.onnx", "--save-choices", "choices.json")
    run("prune", "model.onnx", "--ratio", "0.5", *files, "--no-verify")
    return "small.onnx"


def _tamper(file: str, name: str = "net.conv1.weight") -> None:
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            array = onnx.numpy_helper.to_array(tensor).copy()
            array[[0, 1]] = array[[1, 0]]
            tensor.raw_data = array.tobytes()
    onnx.save(model, file)


def test_a_right_model(run: Run, pruned: str, folder: Path) -> None:
    before = contents(folder)
    lines = run("verify", "model.onnx", pruned).out.splitlines()
    assert lines[:3] == [
        "original    model.onnx",
        "pruned      small.onnx",
        "removed     12 of 24 channels that may go",
    ]
    assert lines[3].startswith("verified    yes, against zero-masking, largest difference ")
    assert lines[4] == "tolerance   |difference| <= 1e-05 + 0.0001 * |reference|"
    assert contents(folder) == before


def test_a_right_model_in_json(run: Run, pruned: str) -> None:
    report = run("verify", "model.onnx", pruned, "--format", "json").json
    assert report.pop("max_error") < 1e-3
    assert report == {
        "schema": "onnxprune.verify/1",
        "model": "model.onnx",
        "pruned": "small.onnx",
        "channels": 24,
        "removed": 12,
        "verified": True,
        "reference": "zero-masking",
        "tolerance": "|difference| <= 1e-05 + 0.0001 * |reference|",
        "notes": [],
    }


@pytest.mark.parametrize("name", ["net.conv1.weight", "net.conv0.bias", "head.weight"])
def test_a_tampered_model(run: Run, pruned: str, name: str) -> None:
    _tamper(pruned, name)
    answer = run("verify", "model.onnx", pruned, code=1)
    assert "verified    NO, against " in answer.out
    assert "written" not in answer.out
    assert answer.err.startswith("onnxprune: The pruned model is not proven: its answers differ")
    assert answer.err.count("\n") == 1
    report = run("verify", "model.onnx", pruned, "--format", "json", code=1).json
    assert report["verified"] is False
    assert "differ" in report["notes"][0]


def test_choices_from_a_file(run: Run, pruned: str, folder: Path) -> None:
    """For a model that has lost its metadata."""
    model = onnx.load(pruned)
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    onnx.save(model, "bare.onnx")
    assert (
        "verified    yes"
        in run(*("verify", "model.onnx", "bare.onnx", "--choices", "choices.json")).out
    )
    (folder / "choices.json").write_text('{"units": {}}')
    run("verify", "model.onnx", "bare.onnx", "--choices", "choices.json", code=1)


def test_a_model_that_does_not_say_what_was_pruned(refused: Refused) -> None:
    assert refused("verify", "model.onnx", "model.onnx") == (
        "model.onnx: it does not say what was pruned from it; give the choices (--choices)"
    )


def test_a_model_pruned_from_another(run: Run, refused: Refused, pruned: str, folder: Path) -> None:
    other = onnx.load("model.onnx")
    other.doc_string = "another"
    onnx.save(other, folder / "other.onnx")
    said = refused("verify", "other.onnx", pruned)
    assert said.startswith("small.onnx: it was not pruned from other.onnx; give the model that")
    assert "was not pruned from small.onnx" in refused("verify", pruned, pruned)


def test_feeds_and_reference(run: Run, refused: Refused, pruned: str) -> None:
    np.savez("feeds.npz", x=np.random.default_rng(0).random((2, 3, 8, 8), np.float32))
    command = ("verify", "model.onnx", pruned, "--feeds", "feeds.npz", "--reference")
    assert "verified    yes" in run(*command, "zero-masking").out
    assert "There is no reference 'mask'" in refused(*command, "mask")


def test_what_cannot_be_read(refused: Refused, pruned: str) -> None:
    assert refused("verify", "model.onnx", "none.onnx").startswith("none.onnx: no such file")
    assert refused("verify", "none.onnx", pruned).startswith("none.onnx: no such file")
    assert "a text file" in refused("verify", "model.onnx", "choices.json")
    with Path(pruned).open("r+b") as file:
        file.truncate(1000)
    assert "damaged or cut short" in refused("verify", "model.onnx", pruned)
