"""Results in a folder: kept whole or not at all, and found only where they belong."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import proto

from onnxprune.errors import SaveError
from onnxprune.graph import load
from onnxprune.runtime.journal import Journal, Pages, identity

ARRAYS = {
    "whole numbers": np.arange(6).reshape(2, 3),
    "half": np.array([0.1], np.float16),
    "one number": np.array(2.5),
    "nothing": np.zeros((0, 3), np.float32),
    "texts": np.array(["", "an é, a \n"]),
}


def _only(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def _check(found: dict[str, np.ndarray] | None) -> None:
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    journal = Journal(folder)
    pages = journal.pages("numbers", "of this", 1)
    assert pages.get("x", 2) is None
    pages.put("x", 2, arrays=ARRAYS)
    assert (journal.taken, journal.added) == (0, 1)
    _check(pages.get("x", 2))
    again = Journal(str(folder))
    _check(again.pages("numbers", "of this", 1).get("x", 2))
    assert (again.taken, again.added) == (1, 0)
    pages.put("empty", arrays={})
    assert pages.get("empty") == {}


def test_another_name_or_condition_is_something_else(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.pages("numbers", "a", 1).put("x", 2, arrays=ARRAYS)
    for title, about, name in (
        ("numbers", ("a", 1), ("x", 3)),
        ("numbers", ("a", 1), ("x", "2")),
        ("numbers", ("a", 1), ("x",)),
        ("numbers", ("a", "1"), ("x", 2)),
        ("numbers", ("a",), (1, "x", 2)),
        ("letters", ("a", 1), ("x", 2)),
    ):
        assert journal.pages(title, *about).get(*name) is None


def test_another_version_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(tmp_path).pages("numbers").put("x", arrays=ARRAYS)
    monkeypatch.setattr("onnxprune.runtime.journal.__version__", "99")
    assert Journal(tmp_path).pages("numbers").get("x") is None


def test_no_journal_keeps_nothing() -> None:
    pages = Pages()
    pages.put("x", arrays=ARRAYS)
    assert pages.get("x") is None


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_half_a_file_is_none(tmp_path: Path, cut: int) -> None:
    pages = Journal(tmp_path).pages("numbers")
    pages.put("x", arrays=ARRAYS)
    path = _only(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    assert pages.get("x") is None
    pages.put("x", arrays=ARRAYS)
    _check(pages.get("x"))


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    pages = Journal(tmp_path).pages("numbers")
    pages.put("x", arrays=ARRAYS)
    path = _only(tmp_path)
    whole, noticed = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x21]) + whole[place + 1 :])
        found = pages.get("x")
        noticed += found is None
        if found is not None:  # dates and the like, of which nothing depends
            _check(found)
    assert noticed > len(whole) / 2


def test_what_is_not_ours_is_none(tmp_path: Path) -> None:
    pages = Journal(tmp_path).pages("numbers")
    pages.put("x", arrays=ARRAYS)
    path = _only(tmp_path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert pages.get("x") is None
    with path.open("wb") as file:
        np.savez(file, numbers=np.arange(3))
    assert pages.get("x") is None
    with path.open("wb") as file:
        np.savez(file, about=np.array([print], object))
    assert pages.get("x") is None
    path.unlink()
    pages.put("y", arrays=ARRAYS)
    _only(tmp_path).rename(path)  # what belongs to another name
    assert pages.get("x") is None


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyboardInterrupt(), "^$"),
        (
            OSError(errno.ENOSPC, "No space left"),
            r"results cannot be kept there \(No space left\); give a folder",
        ),
    ],
)
def test_what_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, says: str
) -> None:
    pages = Journal(tmp_path).pages("numbers")

    def fails(file: object, **arrays: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fails)
        with pytest.raises((SaveError, KeyboardInterrupt), match=says):
            pages.put("x", arrays=ARRAYS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert pages.get("x") is None


def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    pages = Journal(tmp_path / "work").pages("numbers")
    (tmp_path / "work").rmdir()
    assert pages.get("x") is None
    pages.put("x", arrays=ARRAYS)
    _check(pages.get("x"))


@pytest.mark.parametrize("name", ["file", "file/below", "nul\0"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"results cannot be kept there .*; give a folder that"):
        Journal(tmp_path / name)


def test_models_of_other_weights_are_others(tmp_path: Path) -> None:
    def saved(name: str, fill: float) -> Path:
        weights = np.full((64, 64), fill, np.float32)
        model = proto("(float[N,64] x) => (float[N,64] y) { y = MatMul(x, w) }", w=weights)
        (tmp_path / name).mkdir()
        path = tmp_path / name / "model.onnx"
        onnx.save(model, path, save_as_external_data=True, location="data", size_threshold=0)
        return path

    one, same, other = saved("a", 1), saved("b", 1), saved("c", 2)
    assert one.read_bytes() == other.read_bytes()  # their weights are in files beside them
    assert identity(load(one)) == identity(load(same)) != identity(load(other))
    assert identity(load(proto("(float[N] x) => (float[N] y) { y = Relu(x) }"))) != identity(
        load(proto("(float[N] x) => (float[N] y) { y = Tanh(x) }"))
    )
