"""prune --refit merge: weights made up for without any inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Refused, Run

HALF = ("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx")


@pytest.mark.usefixtures("folder")
def test_merge_needs_no_inputs(run: Run) -> None:
    run(*HALF)
    plain = Path("small.onnx").read_bytes()
    answer = run(*HALF, "--force", "--refit", "merge", "--format", "json").json
    assert answer["verified"]
    found = answer["calibration"]
    assert (found["importance"], found["samples"]) == ("l1", 0)
    refit = found["refit"]
    assert (refit["method"], refit["fitted"], refit["left"]) == ("merge", 2, {})
    assert found["held_out"]["refitted"] is None
    assert Path("small.onnx").read_bytes() != plain
    assert "2 of its weights are refitted" in run("verify", "model.onnx", "small.onnx").out


@pytest.mark.usefixtures("folder")
def test_it_says_so(run: Run) -> None:
    text = run(*HALF, "--refit", "merge", "--save-choices", "c.json").out
    assert "importance  l1, of the weights\nrefit       merge, weights of 2 nodes in " in text
    arguments = ("prune", "model.onnx", "--choices", "c.json", "-o", "again.onnx")
    assert "importance" not in run(*arguments, "--refit", "merge").out
    assert Path("again.onnx").read_bytes() == Path("small.onnx").read_bytes()


def test_inputs_compare_what_it_came_to(run: Run, folder: Path) -> None:
    np.save(folder / "data.npy", np.random.default_rng(0).random((40, 3, 8, 8), np.float32))
    options = ("--refit", "merge", "--calibration", "data.npy", "--format", "json")
    found = run(*HALF, *options).json["calibration"]
    assert (found["refit"]["method"], found["refit"]["samples"]) == ("merge", 0)
    assert found["held_out"]["samples"] == 5


def test_the_others_do(refused: Refused) -> None:
    said = refused(*HALF, "--refit", "mean")
    assert said.startswith("--refit needs inputs to fit weights to; give --calibration")
    assert "or take merge, which needs none" in said
