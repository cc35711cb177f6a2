"""evaluate: accuracy and fidelity from the command line."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
from commands import Refused, Run
from helpers import proto
from PIL import Image

from onnxprune.cli.calibration import DataOptions, data_options

FASHION = Path("models/fashion.onnx").absolute()
FASHION_TEST = Path("models/fashion_test.npz").absolute()


@pytest.fixture
def photos(folder: Path) -> Path:
    """Six images in three folders."""
    random = np.random.default_rng(0)
    for number in range(6):
        path = folder / "photos" / "abc"[number // 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).save(path)
    return folder / "photos"


def test_accuracy_of_the_demo_model(run: Run) -> None:
    answer = run("evaluate", FASHION, "--data", FASHION_TEST, "--labels", "labels")
    assert answer.out.splitlines() == [
        f"model        {FASHION}",
        f"data         1,000 samples of {FASHION_TEST}",
        "compared     output 'logits', (10) for a sample; 10 classes",
        "top-1        93.50%  935 of 1,000, 95 % interval 91.80% to 94.87%",
        "top-5        100.00%  1,000 of 1,000, 95 % interval 99.62% to 100.00%",
    ]


def test_a_pruned_model_against_its_original(run: Run, photos: Path) -> None:
    run("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx")
    arguments = ["--data", "photos", "--against", "model.onnx", "--labels", "folders"]
    answer = run("evaluate", "small.onnx", *arguments, "--format", "json").json
    assert answer["schema"] == "onnxprune.evaluate/1"
    assert (answer["samples"], answer["data"]) == (6, "6 images of photos")
    assert answer["fidelity"]["positions"] == answer["accuracy"]["top1"]["total"] == 6
    assert answer["accuracy"]["top5"] is None
    assert answer["fidelity"]["relative_l2"] > 0.01
    same = run("evaluate", "model.onnx", *arguments, "--format", "json").json["fidelity"]
    assert (same["agreement"], same["kl"], same["worst_relative_l2"]) == (1, 0, 0)
    text = run("evaluate", "small.onnx", *arguments).out
    for word in ("agreement", "cosine", "KL", "relative L2", "top-1", "against      model.onnx"):
        assert f"\n{word}" in text
    assert "top-5" not in text


def test_data_options_reach_the_data(run: Run, photos: Path) -> None:
    """Preprocessing changes the answers; sizes, samples and seeds are told."""
    base = ("evaluate", "model.onnx", "--against", "model.onnx", "--data")
    drawn = run(*base, "photos", "--samples", "4", "--seed", "3", "--batch", "3")
    assert "data         4 of 6 images of photos, seed 3\n" in drawn.out
    assert (
        "300 samples of uniform noise, seed 1"
        in run(*base, "uniform", "--samples", "300", "--seed", "1").out
    )
    run(
        *base, "photos", "--mean", "0.485,0.456,0.406", "--std", ".2,.2,.2", "--scale", "1/255",
        *("--size", "8x8", "--crop", "squash", "--layout", "nchw", "--order", "bgr"),
        *("--input", "x"),
    )  # fmt: skip
    np.save("pixels.npy", np.zeros((3, 20, 20, 3), np.uint8))
    assert "3 samples of pixels.npy" in run(*base, "pixels.npy", "--resize", "10").out


def test_options_as_a_command_gets_them() -> None:
    got: list[Any] = []

    @click.command()
    @data_options("--calibration")
    @click.option("--other")
    def command(data: DataOptions | None, other: str | None) -> None:
        got.append((data, other))

    def call(*arguments: str) -> Any:
        command.main(list(arguments), standalone_mode=False)
        return got[-1]

    assert call("--other", "a") == (None, "a")
    given = call("--calibration", "noise", "--scale", "1/4", "--std", "1, 2,3", "--size", "7")[0]
    assert given.preprocess == {"scale": 0.25, "std": (1.0, 2.0, 3.0), "size": (7, 7)}
    assert (given.source, given.samples, given.seed, given.batch) == ("noise", None, 0, 32)
    with pytest.raises(click.UsageError, match="--crop is of data; give --calibration"):
        call("--crop", "center")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give --labels, or --against to compare with the original, or both (see"),
        (["--labels", "none.npy"], "none.npy: no such file of labels"),
        (["--labels", "folders", "--mean", "a,b"], "'a' is not a number, as 0.485 or 1/255"),
        (["--labels", "folders", "--scale", "1/0"], "'1/0' is not a number"),
        (["--labels", "folders", "--mean", "nan"], "'nan' is not a number"),
        (["--labels", "folders", "--size", "8x8x8"], "is not a height and a width, as 224x192"),
        (["--labels", "folders", "--size", "0"], "The size of images must be 1 or more"),
        (["--labels", "folders", "--samples", "0"], "0 samples are none; give 1 or more"),
        (["--labels", "folders", "--crop", "tile"], "'tile' is not one of"),
        (["--labels", "folders", "--output", "z"], "there is no output 'z'; there are 'y'"),
        (["--labels", "folders", "--input", "z"], "images alone do not feed the inputs 'x'"),
        (["--against", "none.onnx"], "none.onnx: no such file; check the path"),
    ],
)
def test_what_makes_no_sense(
    refused: Refused, photos: Path, arguments: list[str], says: str
) -> None:
    assert says in refused("evaluate", "model.onnx", "--data", "photos", *arguments)


def test_data_that_are_none(refused: Refused, photos: Path) -> None:
    base = ("evaluate", "model.onnx", "--against", "model.onnx")
    assert refused(*base) == "Missing option '--data' (see 'onnxprune evaluate --help')"
    assert "nowhere: no such file or folder" in refused(*base, "--data", "nowhere")
    Path("empty").mkdir()
    assert "empty: no images in this folder" in refused(*base, "--data", "empty")
    Path("photos/b/x.png").write_bytes(b"\x89PNG and no more\n\x1b[2J")
    assert "photos/b/x.png: not an image that Pillow can read" in refused(*base, "--data", "photos")
    np.save("objects.npy", np.array([None]), allow_pickle=True)
    assert "objects.npy: damaged, or no plain array" in refused(*base, "--data", "objects.npy")
    np.save("wrong.npy", np.zeros((4, 9), np.float32))
    assert "does not take float32 (1, 9); change its shape" in refused(*base, "--data", "wrong.npy")
    np.savez("l.npz", x=np.zeros((4, 3, 8, 8), np.float32), labels=np.array([0, 1, 2, 4]))
    said = refused("evaluate", "model.onnx", "--data", "l.npz", "--labels", "labels")
    assert said == "The label 4 is out of range: the output 'y' has 4 classes, 0 to 3"
    assert refused("evaluate", "none.onnx", "--data", "l.npz", "--labels", "labels") == (
        "none.onnx: no such file; check the path"
    )


def test_answers_that_are_not_finite(run: Run, folder: Path) -> None:
    onnx.save(proto("(float[N,3] x) => (float[N,3] y) { y = Log(x) }"), folder / "log.onnx")
    onnx.save(proto("(float[N,3] x) => (float[N,3] y) { y = Abs(x) }"), folder / "abs.onnx")
    np.save(folder / "d.npy", np.array([[1, 2, 3], [-1, 2, 3]], np.float32))
    text = run("evaluate", "log.onnx", "--data", "d.npy", "--against", "abs.onnx").out
    assert "not finite   the model's answers to 1 of 2 samples hold NaN or infinities" in text
    text = run("evaluate", "abs.onnx", "--data", "d.npy", "--against", "log.onnx").out
    assert "not finite   the original's answers to 1 samples hold NaN" in text
    np.save(folder / "d.npy", -np.ones((2, 3), np.float32))
    text = run("evaluate", "log.onnx", "--data", "d.npy", "--against", "abs.onnx").out
    assert "no sample is finite in both models; there are no means" in text
    assert "agreement    0.00%  0 of 2 arg max" in text
    onnx.save(proto("(float[N,3] x) => (float[N,3] y) { y = Sub(x, x) }"), folder / "zero.onnx")
    arguments = ("evaluate", "abs.onnx", "--data", "d.npy", "--against", "zero.onnx")
    assert "relative L2  infinite mean, infinite worst" in run(*arguments).out
    assert run(*arguments, "--format", "json").json["fidelity"]["relative_l2"] is None


def test_a_bar_only_on_a_terminal(folder: Path) -> None:
    name = "m[bold]\x1b[31m.onnx"
    (folder / "model.onnx").rename(folder / name)
    ours, theirs = pty.openpty()
    command = str(Path(sys.executable).with_name("onnxprune"))
    process = subprocess.Popen(
        [command, "evaluate", name, "--data", "noise", "--against", name],
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = process.communicate()
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.returncode == 0
    assert b"evaluating m[bold]\\x1b[31m.onnx" in shown
    assert b"agreement    100.00%  256 of 256 arg max" in out
