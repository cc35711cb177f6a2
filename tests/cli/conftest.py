"""The command line, run in this process in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from commands import Answer, Refused, Run, contents, small_model

from onnxprune.cli import _run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with ``model.onnx`` in it."""
    monkeypatch.chdir(tmp_path)
    onnx.save(small_model(), tmp_path / "model.onnx")
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that must not fail: nothing on standard error."""

    def runs(*arguments: object, code: int = 0) -> Answer:
        capfd.readouterr()
        answer = Answer(_run([str(argument) for argument in arguments]), *capfd.readouterr())
        assert answer.code == code, answer.err
        if code == 0:
            assert answer.err == ""
        return answer

    return runs


@pytest.fixture
def refused(run: Run, folder: Path) -> Refused:
    """Runs a command that must fail: one clear line, and nothing written or changed."""

    def runs(*arguments: object, code: int = 2) -> str:
        before = contents(folder)
        answer = run(*arguments, code=code)
        assert contents(folder) == before
        assert answer.out == ""
        assert answer.err.startswith("onnxprune: ")
        assert answer.err.count("\n") == 1
        assert answer.err.endswith("\n")
        line = answer.err[len("onnxprune: ") : -1]
        assert line.isprintable()
        assert "Traceback" not in line
        assert "error of onnxprune itself" not in line
        return line

    return runs
