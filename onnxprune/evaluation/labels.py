"""The classes of samples, as files tell them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from onnxprune.calibration import Dataset
from onnxprune.calibration.arrays import npz_names, open_npy, open_npz
from onnxprune.errors import OnnxPruneError

__all__ = ["FOLDERS", "read_labels"]

FOLDERS = "folders"
MEMBER = "labels"

Labels = npt.NDArray[np.int64]


def read_labels(labels: str | os.PathLike[str], dataset: Dataset) -> Labels:
    """The class of every sample of a dataset.

    Args:
        labels: The name of an array in the data's own ``.npz`` file; ``"folders"``: the class is
            the place of the image's sub-folder among all, empty ones too, sorted by name,
            from 0; a
            ``.npy`` file of integers; a ``.npz`` file with an array ``labels``, or only one; or a
            ``.csv`` file with lines ``file,label``, files relative to the folder of the images,
            with or without a head.
        dataset: The samples. A file has a label for every sample of its source, in order.

    Returns:
        Integers, (samples,).

    Raises:
        OnnxPruneError: If there are no such labels, they are no integers, or not one for each.
    """
    if labels == FOLDERS:
        return _of_folders(dataset)[dataset.indices]
    path, own = Path(labels), dataset.path
    if own is not None and own.suffix.lower() == ".npz":
        names, name = npz_names(own), str(labels)
        if name in names:
            return _integers(open_npz(own, [name])[name], f"{own}, '{name}'", dataset)
        if not path.exists():
            told = ", ".join(f"'{name}'" for name in names)
            raise OnnxPruneError(f"{path}: no such file, nor such an array in {own}, only {told}")
    if not path.is_file():
        raise OnnxPruneError(f"{path}: no such file of labels; check the path")
    match path.suffix.lower():
        case ".npy":
            return _integers(open_npy(path), str(path), dataset)
        case ".npz":
            return _integers(_member(path), str(path), dataset)
        case ".csv":
            return _of_files(path, dataset)[dataset.indices]
    raise OnnxPruneError(f"{path}: labels are a .npy, .npz or .csv file; this is none of them")


def _integers(array: npt.NDArray[np.generic], where: str, dataset: Dataset) -> Labels:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise OnnxPruneError(
            f"{where}: labels are one integer for each sample, not {array.dtype} of shape "
            f"{array.shape}"
        )
    if len(array) != dataset.total:
        raise OnnxPruneError(
            f"{where}: {len(array):,} labels for {dataset.total:,} samples; give one for each"
        )
    return np.asarray(array[dataset.indices]).astype(np.int64)


def _member(path: Path) -> npt.NDArray[np.generic]:
    names = npz_names(path)
    if MEMBER not in names and len(names) != 1:
        told = ", ".join(sorted(names)) or "none"
        raise OnnxPruneError(f"{path}: no array '{MEMBER}' among {told}; name it so")
    name = MEMBER if MEMBER in names else names[0]
    return open_npz(path, [name])[name]


def _of_folders(dataset: Dataset) -> Labels:
    parents = [name.rpartition("/")[0].partition("/")[0] for name in _names(dataset, FOLDERS)]
    loose = [name for name, parent in zip(dataset.names, parents, strict=True) if not parent]
    if loose:
        raise OnnxPruneError(
            f"{dataset.path}: {loose[0]} is in no sub-folder, and so of no class; move it, or give "
            f"a .csv file of labels"
        )
    assert dataset.path is not None
    empty = {path.name for path in dataset.path.iterdir() if path.is_dir() and path.name[0] != "."}
    places = {name: place for place, name in enumerate(sorted({*parents, *empty}))}
    return np.array([places[parent] for parent in parents], np.int64)


def _of_files(path: Path, dataset: Dataset) -> Labels:
    """From lines of file names and labels."""
    names = _names(dataset, str(path))
    told = _lines(path)
    missing = [name for name in names if name not in told]
    if missing:
        more = f" and {len(missing) - 1:,} more" if missing[1:] else ""
        raise OnnxPruneError(
            f"{path}: no label for {missing[0]}{more}; give lines of a file, relative to "
            f"{dataset.path}, and a number"
        )
    return np.array([told[name] for name in names], np.int64)


def _lines(path: Path) -> dict[str, int]:
    told: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row:
                    continue
                label = row[-1].strip()
                if len(row) != 2 or not label.isdecimal() or len(label) > 9:
                    if number == 1 and len(row) == 2:
                        continue  # the head
                    raise OnnxPruneError(
                        f"{path}: line {number} is not a file and a number from 0, as a.png,3"
                    )
                name = row[0].strip().removeprefix("./")
                if told.setdefault(name, int(label)) != int(label):
                    raise OnnxPruneError(f"{path}: line {number} gives {name} another label again")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OnnxPruneError(f"{path}: cannot be read as text ({error})") from error
    return told


def _names(dataset: Dataset, labels: str) -> tuple[str, ...]:
    if not dataset.names:
        raise OnnxPruneError(
            f"{labels}: such labels are for a folder of images, and the data are none; give a "
            f".npy file of labels"
        )
    return dataset.names
