"""The command line as a process of its own: its exit codes, its streams, its interruptions."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from commands import contents

COMMAND = [str(Path(sys.executable).with_name("onnxprune"))]


def _run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, check=False
    )


def test_exit_codes_and_streams(folder: Path) -> None:
    done = _run(folder, "prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"written     small.onnx\n")
    no = _run(folder, "prune", "model.onnx", "--macs", "0.001", "-o", "tiny.onnx")
    assert (no.returncode, no.stdout) == (1, b"")
    assert no.stderr.startswith(b"onnxprune: model.onnx: 0.001 of the MACs cannot be reached")
    wrong = _run(folder, "prune", "none.onnx", "--ratio", "0.5", "-o", "tiny.onnx")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr == b"onnxprune: none.onnx: no such file; check the path\n"
    traced = _run(folder, "--debug", "inspect", "none.onnx")
    assert traced.returncode == 1
    assert traced.stderr.startswith(b"Traceback")
    assert set(contents(folder)) == {"model.onnx", "small.onnx"}


def test_an_interrupted_command_leaves_nothing_half_done(folder: Path) -> None:
    """Ctrl-C at any moment: nothing half written, no temporary file."""
    for wait in (0.5, 1.5):
        process = subprocess.Popen(
            [*COMMAND, "prune", "model.onnx", "--macs", "0.5", "-o", "small.onnx"],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode in (0, 130, -signal.SIGINT)
        # It may come just after the whole file got its name; a part of one is never there.
        assert set(contents(folder)) <= {"model.onnx", "small.onnx"}
        if process.returncode == 130:
            assert err.strip() == b""
        (folder / "small.onnx").unlink(missing_ok=True)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, click.exceptions.Abort])
def test_an_interruption_is_130(
    monkeypatch: pytest.MonkeyPatch, folder: Path, raised: type[BaseException]
) -> None:
    import onnxprune.api

    def interrupted(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(onnxprune.api, "find_units", interrupted)
    assert onnxprune.cli._run(["inspect", "model.onnx"]) == 130


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (MemoryError(), "onnxprune: there is not enough memory for this model\n"),
        (OSError(28, "No space left"), "onnxprune: the system refuses: [Errno 28] No space left\n"),
        (
            ValueError("a\nb"),
            "onnxprune: this is an error of onnxprune itself, ValueError: a\\nb; please report it, "
            "with the output of the same command after 'onnxprune --debug'\n",
        ),
    ],
)
def test_what_nobody_foresaw(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    raised: Exception,
    says: str,
) -> None:
    import onnxprune.api

    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(onnxprune.api, "find_units", broken)
    assert onnxprune.cli._run(["inspect", "model.onnx"]) == 2
    assert capsys.readouterr().err == says
    with pytest.raises(type(raised)):
        onnxprune.cli._run(["--debug", "inspect", "model.onnx"])


def test_a_reader_that_goes_away(folder: Path) -> None:
    for form in ("text", "json"):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*COMMAND, "inspect", "model.onnx", "--format", form],
            cwd=folder,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_file_name_that_is_no_text(folder: Path) -> None:
    name = os.fsencode(folder) + b"/m\xff.onnx"
    os.rename(folder / "model.onnx", name)
    done = _run(folder, "inspect", os.fsdecode(b"m\xff.onnx"), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"model       m\\udcff.onnx\n")
    done = _run(folder, "inspect", os.fsdecode(b"m\xff.onnx"), "--format", "json")
    assert (done.returncode, done.stderr) == (0, b"")


def test_progress_is_for_terminals(folder: Path) -> None:
    name = "m [/] [bold\x1b[31m.onnx".replace("/", "")
    (folder / "model.onnx").rename(folder / name)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "inspect", name],
        cwd=folder,
        env={**os.environ, "TERM": "xterm"},
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
    assert b"reading m [] [bold\\x1b[31m.onnx" in shown
    assert b"opset" in out
    assert b"opset" not in shown


def test_a_warning_of_the_package_is_one_plain_line(folder: Path) -> None:
    code = (
        "import logging, onnxprune.cli as cli\n"
        "log = logging.getLogger('onnxprune.graph')\n"
        "cli._run = lambda _: log.warning('a %s', 'b\\n\\x1b') or 0\n"
        "cli.main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"onnxprune: a b\\n\\x1b\n")
