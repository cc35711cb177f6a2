"""prune with calibration inputs: what is measured, fitted and reported, and what is refused."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import Refused, Run, contents
from helpers import proto

import onnxprune as op
from onnxprune.graph import load

FASHION = Path("models/fashion.onnx").absolute()
IMAGES = Path("models/fashion_calibration.npz").absolute()
TEST = Path("models/fashion_test.npz").absolute()
COMMAND = str(Path(sys.executable).with_name("onnxprune"))
HALF = ("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx")


@pytest.fixture
def samples(folder: Path) -> Path:
    """Forty inputs of ``model.onnx`` whose channels depend on each other."""
    random = np.random.default_rng(0)
    mixed = random.standard_normal((40, 1, 8, 8)) * random.standard_normal((1, 3, 1, 1))
    array = mixed + 0.1 * random.standard_normal((40, 3, 8, 8))
    np.save(folder / "data.npy", array.astype(np.float32))
    return folder / "data.npy"


def _done(run: Run, *options: object) -> dict[str, Any]:
    """What is reported of calibration."""
    answer = run(*HALF, "--force", "--format", "json", *options).json
    assert answer["verified"]
    found: dict[str, Any] = answer["calibration"]
    return found


def test_the_demo_model_stays_accurate(run: Run) -> None:
    """Half of its MACs: 93.5 % before; about 20 % by its weights alone, without inputs."""
    answer = run(
        *("prune", FASHION, "--macs", "0.5", "-o", "half.onnx"),
        *("--calibration", IMAGES, "--samples", "256", "--format", "json"),
    ).json
    held = answer["calibration"]["held_out"]
    assert (held["samples"], answer["calibration"]["refit"]["samples"]) == (32, 224)
    assert held["refitted"]["agreement"] > 0.9 > 0.6 > held["pruned"]["agreement"]
    assert held["refitted"]["kl"] < held["pruned"]["kl"] / 10
    assert answer["macs"]["after"] <= 0.5 * answer["macs"]["before"]
    found = run(
        *("evaluate", "half.onnx", "--data", TEST, "--labels", "labels", "--format", "json")
    ).json
    assert found["accuracy"]["top1"]["share"] > 0.91


@pytest.mark.parametrize(
    ("options", "importance", "method"),
    [
        (["data.npy"], "obs", "sequential"),
        (["noise"], "l1", "one-shot"),
        (["uniform"], "l1", "one-shot"),
        (["pink"], "obs", "sequential"),
        (["leaves"], "obs", "sequential"),
        (["data.npy", "--importance", "energy"], "energy", "sequential"),
        (["data.npy", "--importance", "l2", "--refit", "affine"], "l2", "affine"),
        (["noise", "--importance", "obs", "--refit", "sequential"], "obs", "sequential"),
        (["data.npy", "--refit", "none"], "obs", None),
    ],
)
@pytest.mark.usefixtures("samples")
def test_what_is_done(run: Run, options: list[str], importance: str, method: str | None) -> None:
    found = _done(run, "--calibration", *options)
    assert found["importance"] == importance
    assert (found["seconds"] > 0) == (importance in ("obs", "energy"))
    assert found["natural"] == (options[0] == "data.npy")
    refit, held = found["refit"], found["held_out"]
    assert (refit and refit["method"]) == method
    assert held["samples"] == found["samples"] // 8
    assert held["pruned"]["positions"] == held["samples"]
    assert (held["refitted"] is None) == (method is None)
    if refit is not None:
        assert refit["samples"] + held["samples"] == found["samples"]
        assert (refit["fitted"], refit["left"]) == (2, {})
        assert held["refitted"]["relative_l2"] < held["pruned"]["relative_l2"]


@pytest.mark.usefixtures("samples")
def test_without_inputs_nothing_is_fitted(run: Run) -> None:
    assert run(*HALF, "--format", "json").json["calibration"] is None
    assert "refit" not in run(*HALF, "--force", "--refit", "none").out


@pytest.mark.usefixtures("samples")
def test_the_text(run: Run) -> None:
    text = run(*HALF, "--calibration", "data.npy").out
    for line in (
        "calibration 40 samples of data.npy, seed 0; 5 of these are held out\n",
        "importance  obs, measured in ",
        "refit       sequential, weights of 2 nodes in ",
        " s; 0 stay as sliced\n",
        "held out    agreement ",
        " by the refit\nverified    yes, against zero-masking",
    ):
        assert line in text
    assert "on noise" not in text
    noise = run(*HALF, "--force", "--calibration", "noise", "--seed", "3").out
    assert "calibration 256 samples of Gaussian noise, seed 3; 32 of these are held out" in noise
    assert "importance  l1, of the weights\n" in noise
    assert "on noise, which says little of what the model was made for\n" in noise


@pytest.mark.usefixtures("samples")
def test_a_seed_decides_everything(run: Run) -> None:
    def weights(*options: str) -> list[bytes]:
        run(*HALF, "--force", "--calibration", "data.npy", *options)
        model = onnx.load("small.onnx")
        return [tensor.SerializeToString() for tensor in model.graph.initializer]

    drawn = weights("--samples", "24", "--seed", "1")
    assert weights("--samples", "24", "--seed", "1") == drawn
    assert weights("--samples", "24", "--seed", "2") != drawn


@pytest.mark.usefixtures("samples")
def test_choices_of_a_file_are_only_refitted(run: Run) -> None:
    run(*HALF, "--save-choices", "c.json")
    plain = Path("small.onnx").read_bytes()
    arguments = ("prune", "model.onnx", "--choices", "c.json", "-o", "fitted.onnx")
    found = run(*arguments, "--calibration", "data.npy", "--format", "json").json["calibration"]
    assert (found["importance"], found["seconds"]) == (None, 0.0)
    assert found["refit"]["method"] == "sequential"
    sizes = [
        {name: load(path).shape(value) for name, value in load(path).initializers.items()}
        for path in (Path("small.onnx"), Path("fitted.onnx"))
    ]
    assert sizes[0] == sizes[1]
    assert Path("fitted.onnx").read_bytes() != plain
    assert "of its weights are refitted" in run("verify", "model.onnx", "fitted.onnx").out


def test_nodes_that_stay_as_they_are_say_why(run: Run, folder: Path) -> None:
    """A weight that serves an operator that is no product is no weight to fit."""
    body = """(float[N,4] x) => (float[N,3] y) {
        a = MatMul(x, w0)
        b = Relu(a)
        c = MatMul(b, w1)
        m = ReduceMean<keepdims=0>(x)
        t = Mul(w1, m)
        s = ReduceSum<keepdims=0>(t, rows)
        y = Add(c, s)
    }"""
    model = proto(body, "w0 4 8, w1 8 3", rows=np.array([0], np.int64))
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "data.npy", np.random.default_rng(0).random((64, 4), np.float32))
    text = run(*HALF, "--calibration", "data.npy").out
    assert "weights of 0 nodes" in text
    assert "; 1 stay as sliced, 1 because its weight serves a node that is no such product" in text


def test_few_samples_and_answers_that_cannot_be_compared(run: Run, folder: Path) -> None:
    np.save(folder / "data.npy", np.random.default_rng(0).random((7, 3, 8, 8), np.float32))
    found = _done(run, "--calibration", "data.npy")
    assert found["refit"]["samples"] == 7
    assert found["held_out"]["note"] == "there are too few samples to hold any out"
    text = run(*HALF, "--force", "--calibration", "data.npy").out
    assert "held out    nothing was compared: there are too few samples to hold any out" in text

    body = """(float[N,3] x) => (float[3] y) {
        a = Gemm(x, w0)
        b = Relu(a)
        c = Gemm(b, w1)
        y = ReduceMean<keepdims=0>(c, rows)
    }"""
    model = proto(body, "w0 3 8, w1 8 3", rows=np.array([0], np.int64))
    onnx.save(model, folder / "model.onnx")
    held = _done(run, "--calibration", "noise")["held_out"]
    assert "are not on its first axis" in held["note"]
    assert (held["pruned"], held["refitted"]) == (None, None)


def test_whole_batches_are_held_out_where_the_model_takes_no_others(run: Run) -> None:
    body = """(float[4,3] x) => (float[4,3] y) {
        a = Gemm(x, w0)
        b = Relu(a)
        y = Gemm(b, w1)
    }"""
    onnx.save(proto(body, "w0 3 8, w1 8 3"), "model.onnx")
    found = _done(run, "--calibration", "noise", "--samples", "76")
    assert (found["held_out"]["samples"], found["refit"]["samples"]) == (8, 68)
    assert found["held_out"]["refitted"]["positions"] == 8


@pytest.mark.parametrize(("samples", "held"), [(7, 0), (8, 1), (100, 12), (2047, 255), (5000, 256)])
@pytest.mark.usefixtures("folder")
def test_samples_are_either_fitted_or_held_out(samples: int, held: int) -> None:
    every = op.read_dataset("uniform", load(Path("model.onnx")), samples=samples)
    fitting, apart = every.split()
    parts = [fitting.indices, *([] if apart is None else [apart.indices])]
    assert len(parts[0]) == samples - held
    assert np.array_equal(np.sort(np.concatenate(parts)), every.indices)
    if apart is not None:
        assert np.ptp(np.diff(apart.indices)) <= 1 if held > 1 else apart.indices == [4]
        assert len({every.fingerprint, fitting.fingerprint, apart.fingerprint}) == 3
        assert (fitting.natural, apart.natural) == (False, False)


@pytest.mark.usefixtures("samples")
def test_the_same_from_python() -> None:
    """Nothing is held out there; the same defaults hold."""
    model = load(Path("model.onnx"))
    units = op.find_units(model)
    plain = op.choose(units, op.ratio(0.5))
    assert op.choose(units, op.ratio(0.5), data="noise") == plain  # noise tells nothing of scores
    data = op.read_dataset("data.npy", model)
    evidence = op.measure_evidence(units, "obs", data)
    assert evidence.gradients is None
    assert op.measure_evidence(units, "obs", data, evidence) is evidence
    choices = op.choose(units, op.ratio(0.5), data=data)
    assert choices == op.choose(units, op.ratio(0.5), "obs", evidence=evidence) != plain
    small = op.prune(units, choices)
    fit = op.refit_weights("model.onnx", small, "data.npy", choices)
    assert (len(fit.fitted), fit.left, fit.samples) == (2, {}, 40)
    op.verify("model.onnx", fit.graph, choices).check()
    errors = []
    for graph in (small, fit.graph):
        fidelity = op.evaluate(graph, data, against=model).fidelity
        assert fidelity is not None
        errors.append(fidelity.l2)
    assert errors[1] < errors[0] / 2
    with pytest.raises(op.OnnxPruneError, match="There is no refit 'none'; there are: affine"):
        op.refit_weights(units, small, data, method="none")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--refit", "sequential"], "--refit needs inputs to fit weights to; give --calibration"),
        (["--mean", "0.5"], "--mean is of data; give --calibration (see 'onnxprune prune --help')"),
        (["--calibration", "noise", "--refit", "sequentially"], "no refit 'sequentially'; did you"),
        (["--calibration", "noise", "--refit", "adam"], "there are: affine, channel, mean, one-sh"),
        (
            ["--importance", "obs"],
            "The importance 'obs' needs activations; give calibration inputs",
        ),
        (["--calibration", "none.npy"], "none.npy: no such file or folder; check the path"),
        (["--calibration", "wrong.npy"], "does not take float32 (1, 9); change its shape"),
        (["--calibration", "nan.npy"], "is not finite with these inputs (16 samples of nan.npy"),
    ],
)
def test_refusals(refused: Refused, folder: Path, arguments: list[str], says: str) -> None:
    np.save(folder / "wrong.npy", np.zeros((16, 9), np.float32))
    np.save(folder / "nan.npy", np.full((16, 3, 8, 8), np.nan, np.float32))
    assert says in refused(*HALF, *arguments)


def test_tokens_that_the_model_does_not_know(refused: Refused) -> None:
    """onnxruntime's own line of the same is not shown; `refused` allows a single one."""
    body = """(int64[N,4] x) => (float[N,4,3] y) {
        e = Gather(w, x)
        a = MatMul(e, w0)
        b = Relu(a)
        y = MatMul(b, w1)
    }"""
    onnx.save(proto(body, "w 10 6, w0 6 8, w1 8 3"), "model.onnx")
    np.savez("data.npz", x=np.full((16, 4), 10))
    says = "idx=10 must be within the inclusive range [-10,9]"
    half = "model.onnx: it does not run with these"
    for arguments, begins in (
        ((*HALF, "--calibration", "data.npz"), f"{half} inputs: "),
        ((*HALF, "--feeds", "data.npz"), f"{half} feeds: "),
        (
            ("evaluate", "model.onnx", "--data", "data.npz", "--against", "model.onnx"),
            "model.onnx: onnxruntime does not run it on these samples: ",
        ),
    ):
        said = refused(*arguments)
        assert said.startswith(begins)
        assert says in said


def test_an_interruption_leaves_nothing_behind(folder: Path, tmp_path_factory: Any) -> None:
    """Ctrl-C while it measures or fits; on a terminal the bar is what tells when."""
    scratch = tmp_path_factory.mktemp("scratch")
    options = ("--macs", "0.5", "-o", "h.onnx", "--save-choices", "c", "--calibration", str(IMAGES))
    for word in (b"measuring", b"fitting"):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [COMMAND, "prune", str(FASHION), *options],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "TMPDIR": str(scratch)},
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        while word not in shown:
            shown += os.read(ours, 4096)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        out, _ = process.communicate()
        os.close(ours)
        assert (process.returncode, out) == (130, b"")
        assert b"Traceback" not in shown
        assert set(contents(folder)) == {"model.onnx"}
        assert list(scratch.glob("onnxprune-*")) == []


def test_a_seed_picks_the_rows_that_are_measured(run: Run) -> None:
    """All channels are alike, so that it is the rows that tell which seem to matter."""
    body = "(float[N,64,8] x) => (float[N,64,8] y) { a = MatMul(x, w0)\n y = MatMul(a, w1) }"
    same = np.eye(8, dtype=np.float32)
    onnx.save(proto(body, w0=same, w1=same.copy()), "model.onnx")
    np.save("data.npy", np.random.default_rng(0).standard_normal((9, 64, 8)).astype(np.float32))
    fitting, _ = op.read_dataset("data.npy", load(Path("model.onnx"))).split()
    options = ("--importance", "variance", "--refit", "none", "--calibration", "data.npy")
    chosen = []
    for seed in (0, 1, 2):
        run(*HALF, "--force", *options, "--seed", seed, "--save-choices", "c.json")
        chosen.append(Path("c.json").read_text(encoding="utf-8"))
        found = op.choose("model.onnx", op.ratio(0.5), "variance", data=fitting, seed=seed)
        assert found.to_json() == chosen[-1]
    assert len(set(chosen)) == 3
    noise = [op.choose("model.onnx", op.ratio(0.5), "obs", data="noise", seed=s) for s in (0, 1)]
    assert noise[0] != noise[1]
