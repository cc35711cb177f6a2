"""Labels, from every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import proto
from PIL import Image

from onnxprune.calibration import Dataset, read_dataset
from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation import read_labels
from onnxprune.graph import load

GRAPH = load(proto("(float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Identity(x) }"))
FILES = ("bird/1.png", "bird/2.png", "cat/deep/3.png", "ant/4.png")


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    for name in FILES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return read_dataset(tmp_path / "photos", GRAPH)


@pytest.fixture
def arrays(tmp_path: Path) -> Dataset:
    np.savez(
        tmp_path / "data.npz",
        x=np.zeros((6, 3, 8, 8), np.float32),
        labels=np.arange(6) % 4,
        classes=np.arange(6.0),
    )
    return read_dataset(tmp_path / "data.npz", GRAPH, samples=4, seed=1)


def _says(labels: str | Path, dataset: Dataset) -> str:
    with pytest.raises(OnnxPruneError) as raised:
        read_labels(labels, dataset)
    return str(raised.value)


def test_sub_folders_in_the_order_of_their_names(photos: Dataset) -> None:
    assert photos.names == ("ant/4.png", "bird/1.png", "bird/2.png", "cat/deep/3.png")
    assert list(read_labels("folders", photos)) == [0, 1, 1, 2]
    assert photos.path is not None
    drawn = read_dataset(photos.path, GRAPH, samples=2, seed=2)
    assert list(read_labels("folders", drawn)) == [[0, 1, 1, 2][i] for i in drawn.indices]
    for name in ("bee", ".cache"):
        (photos.path / name).mkdir()
    assert list(read_labels("folders", photos)) == [0, 2, 2, 3]  # none of its images is there
    Image.new("RGB", (8, 8)).save(photos.path / "loose.png")
    said = _says("folders", read_dataset(photos.path, GRAPH))
    assert "loose.png is in no sub-folder, and so of no class; move it, or give a .csv" in said


def test_an_array_of_the_data_or_of_a_file(arrays: Dataset, tmp_path: Path) -> None:
    wanted = arrays.indices % 4
    np.testing.assert_array_equal(read_labels("labels", arrays), wanted)
    np.save(tmp_path / "l.npy", (np.arange(6) % 4).astype(np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "l.npy", arrays), wanted)
    np.savez(tmp_path / "one.npz", what=np.arange(6) % 4)
    np.testing.assert_array_equal(read_labels(str(tmp_path / "one.npz"), arrays), wanted)
    np.savez(tmp_path / "two.npz", what=np.zeros(6), labels=np.arange(6) % 4)
    np.testing.assert_array_equal(read_labels(tmp_path / "two.npz", arrays), wanted)


@pytest.mark.parametrize("head", ["", "file,label\n", "\ufefffile,label\r\n"])
def test_lines_of_files_and_labels(photos: Dataset, tmp_path: Path, head: str) -> None:
    lines = "cat/deep/3.png, 7\n\n./bird/1.png,2\nbird/2.png,3\nant/4.png,0\nmore.png,9\n"
    (tmp_path / "l.csv").write_text(head + lines, encoding="utf-8")
    assert list(read_labels(tmp_path / "l.csv", photos)) == [0, 2, 3, 7]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("ant/4.png,0\n", "no label for bird/1.png and 2 more; give lines of a file, relative to"),
        ("", "no label for ant/4.png and 3 more"),
        ("ant/4.png,0\nbird/1.png,bird\n", "line 2 is not a file and a number from 0, as a.png,3"),
        ("ant/4.png,0\nbird/1.png,-1\n", "line 2 is not a file and a number"),
        ("ant/4.png,0\nbird/1.png,1,2\n", "line 2 is not a file and a number"),
        ("ant/4.png,0\nbird/1.png\n", "line 2 is not a file and a number"),
        ("ant/4.png;0\n", "line 1 is not a file and a number"),
        ("ant/4.png,0\nant/4.png,1\n", "line 2 gives ant/4.png another label again"),
        (b"\xff\xfe\x00", "cannot be read as text ("),
    ],
)
def test_lines_that_are_wrong(
    photos: Dataset, tmp_path: Path, lines: str | bytes, says: str
) -> None:
    (tmp_path / "l.csv").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    assert _says(tmp_path / "l.csv", photos).startswith(f"{tmp_path / 'l.csv'}: {says}")


def test_wrong_labels(photos: Dataset, arrays: Dataset, tmp_path: Path) -> None:
    assert _says("none.npy", photos) == "none.npy: no such file of labels; check the path"
    told = "no such file, nor such an array in"
    assert f"{told} {tmp_path / 'data.npz'}, only 'x', 'labels', 'classes'" in _says("z", arrays)
    assert "'classes': labels are one integer for each sample, not float64" in _says(
        "classes", arrays
    )
    assert "not float32 of shape (6, 3, 8, 8)" in _says("x", arrays)
    assert _says("folders", arrays).startswith("folders: such labels are for a folder of images")
    np.save(tmp_path / "short.npy", np.arange(5))
    assert "5 labels for 6 samples; give one for each" in _says(tmp_path / "short.npy", arrays)
    np.savez(tmp_path / "two.npz", a=np.arange(6), b=np.arange(6))
    assert "no array 'labels' among a, b; name it so" in _says(tmp_path / "two.npz", arrays)
    np.save(tmp_path / "o.npy", np.array([None] * 6), allow_pickle=True)
    assert "damaged, or no plain array" in _says(tmp_path / "o.npy", arrays)
    (tmp_path / "l.txt").write_text("1")
    assert _says(tmp_path / "l.txt", photos).endswith(
        "labels are a .npy, .npz or .csv file; this is none of them"
    )
