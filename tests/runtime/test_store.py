"""Arrays in memory up to a limit, and on disk beyond it."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from onnxprune.runtime.store import Store

ARRAYS = {
    "plain": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "whole numbers": np.arange(6),
    "half": np.arange(6, dtype=np.float16),
    "yes and no": np.array([[True, False]]),
    "columns first": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "every other one": np.arange(12.0)[::2],
    "nothing": np.zeros((0, 3), np.float32),
    "one number": np.array(2.5),
    "texts": np.array(["a", "bc"], object),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_what_is_put_can_be_read(name: str, limit: int, folder: Path) -> None:
    array = ARRAYS[name]
    kept = Store(limit).put(array)
    assert kept.dtype == array.dtype
    assert kept.shape == array.shape
    np.testing.assert_array_equal(kept, array)


def test_only_what_exceeds_the_limit_is_written(folder: Path) -> None:
    store = Store(200)
    first, second, third = np.ones((3, 100), np.uint8)
    assert store.put(first) is first
    assert store.put(second) is second
    assert _files(folder) == []
    kept = store.put(third)
    assert isinstance(kept, np.memmap)
    assert len(_files(folder)) == 1
    store.drop(first)  # there is room again
    assert store.put(first) is first
    store.drop(kept)
    assert _files(folder) == []


def test_names_on_disk_are_never_used_twice(folder: Path) -> None:
    store = Store(0)
    kept = [store.put(np.full(4, i)) for i in range(3)]
    store.drop(kept.pop(1))
    kept.append(store.put(np.full(4, 9)))
    assert [int(array[0]) for array in kept] == [0, 2, 9]


def test_a_store_that_goes_takes_its_folder_with_it(folder: Path) -> None:
    store = Store(0)
    store.put(np.ones(4))
    assert _files(folder)
    del store
    gc.collect()
    assert list(folder.iterdir()) == []


def test_sequences_and_absent_values_pass_through() -> None:
    store = Store(0)
    sequence = [np.ones(3), np.ones(2)]
    for value in (sequence, None):
        assert store.put(value) is value  # type: ignore[arg-type]
        store.drop(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_files_of_others_are_left_alone(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "samples.npy"
    np.save(path, np.arange(12.0))
    store = Store(limit)
    store.drop(store.put(np.load(path, mmap_mode="r")[3:7]))
    assert path.exists()
