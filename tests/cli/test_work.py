"""prune --work: what was measured and fitted is found again, after an interruption too."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Refused, Run, contents

from onnxprune.runtime import walk

FASHION = Path("models/fashion.onnx").absolute()
IMAGES = Path("models/fashion_calibration.npz").absolute()
COMMAND = str(Path(sys.executable).with_name("onnxprune"))
DATA = ("--calibration", "data.npy", "--work", "work")
HALF = ("prune", "model.onnx", "-o", "small.onnx", "--force")


@pytest.fixture(autouse=True)
def samples(folder: Path) -> None:
    """Forty inputs of ``model.onnx``."""
    random = np.random.default_rng(0)
    np.save(folder / "data.npy", random.standard_normal((40, 3, 8, 8), np.float32))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One item for each piece of a model that was run."""
    found: list[object] = []
    open_session = walk.open_session

    def counted(graph: object) -> object:
        found.append(graph)
        return open_session(graph)  # type: ignore[arg-type]

    monkeypatch.setattr(walk, "open_session", counted)
    return found


def test_the_second_time_nothing_is_measured(run: Run, opened: list[object]) -> None:
    run(*HALF, "--macs", "0.5", *DATA[:2])
    plain = Path("small.onnx").read_bytes()
    pieces = len(opened)
    assert pieces > 0
    run(*HALF, "--macs", "0.5", *DATA)
    assert Path("small.onnx").read_bytes() == plain
    assert len(opened) == 2 * pieces
    before = contents(Path("work"))
    assert {name.split("-")[0] for name in before} == {"measured", "sensitivity", "refit"}
    run(*HALF, "--macs", "0.5", *DATA)
    assert Path("small.onnx").read_bytes() == plain
    assert len(opened) == 2 * pieces
    assert contents(Path("work")) == before


def test_another_budget_measures_nothing_again(run: Run, opened: list[object]) -> None:
    run(*HALF, "--macs", "0.7", *DATA[:2])
    plain = Path("small.onnx").read_bytes()
    run(*HALF, "--macs", "0.5", *DATA)
    before, pieces = contents(Path("work")), len(opened)
    run(*HALF, "--macs", "0.7", *DATA)
    assert Path("small.onnx").read_bytes() == plain
    assert len(opened) > pieces  # it is another model that is fitted
    fresh = contents(Path("work")).keys() - before.keys()
    assert {name.split("-")[0] for name in fresh} == {"refit"}
    shutil.rmtree("work")
    run(*HALF, "--macs", "0.7", *DATA)
    assert Path("small.onnx").read_bytes() == plain


def test_other_samples_are_measured(run: Run) -> None:
    run(*HALF, "--macs", "0.5", *DATA)
    before = contents(Path("work"))
    array = np.load("data.npy")
    array[21, 1, 2, 3] += 1
    np.save("data.npy", array)
    run(*HALF, "--macs", "0.5", *DATA)
    assert len(contents(Path("work"))) == 2 * len(before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--work", "work"], "--work keeps what is told by inputs; give --calibration"),
        (["--calibration", "data.npy", "--work", "model.onnx"], "'model.onnx': results cannot be"),
        (["--calibration", "none.npy", "--work", "work"], "none.npy: no such file"),
    ],
)
def test_refusals(refused: Refused, folder: Path, arguments: list[str], says: str) -> None:
    assert says in refused(*HALF, "--macs", "0.5", *arguments)
    assert not (folder / "work").exists()


def _command(*arguments: object) -> list[str]:
    return [COMMAND, *map(str, arguments), "--calibration", str(IMAGES), "--samples", "32"]


def _files(kind: str) -> set[Path]:
    return set(Path("work").glob(f"{kind}-*/*.npz"))


@pytest.mark.parametrize(("how", "kind"), [(signal.SIGINT, "refit"), (signal.SIGKILL, "measured")])
@pytest.mark.usefixtures("folder")
def test_work_that_was_cut_goes_on(how: signal.Signals, kind: str) -> None:
    whole = ("prune", FASHION, "--macs", "0.5", "-o", "whole.onnx", "--no-verify")
    half = ("prune", FASHION, "--macs", "0.5", "-o", "half.onnx", "--no-verify", "--work", "work")
    subprocess.run(_command(*whole), check=True, capture_output=True)
    process = subprocess.Popen(_command(*half), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(_files(kind)) < 3:
        assert process.poll() is None, "it is over before it is cut"
        time.sleep(0.005)
    process.send_signal(how)
    out, err = process.communicate()
    assert (process.returncode, out) == (130 if how == signal.SIGINT else -how, b"")
    assert b"Traceback" not in err
    assert not Path("half.onnx").exists()
    kept = {path: path.stat().st_mtime_ns for path in Path("work").rglob("*.npz")}
    subprocess.run(_command(*half), check=True, capture_output=True)
    assert Path("half.onnx").read_bytes() == Path("whole.onnx").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(_files("refit")) > len([path for path in kept if "refit-" in str(path)])


def test_a_terminal_shows_how_many_were_known(run: Run) -> None:
    run(*HALF, "--macs", "0.5", *DATA)
    for path in sorted(Path("work").glob("refit-*/*"))[:1]:
        path.unlink()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *HALF, "--macs", "0.5", *DATA],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    process.communicate()
    os.close(ours)
    assert b"measuring for obs: 6 of 6 results taken from work" in shown
    assert b"fitting weights, sequential: 2 of 3 results taken from work" in shown
