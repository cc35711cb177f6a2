"""Arrays: in memory, in ``.npy`` and ``.npz`` files, in sequences."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.convert import Converter
from onnxprune.calibration.source import Indices, Source, hashed
from onnxprune.errors import OnnxPruneError
from onnxprune.runtime import Feeds

__all__ = ["array_source", "file_source", "npz_names", "open_npy", "open_npz", "sequence_source"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
ADVICE = "write it with numpy.savez(path, name=array), one array for each input"
EDGE = 65_536


def file_source(path: Path, convert: Converter) -> Source:
    """The samples of a ``.npy`` file, for one input, or of a ``.npz`` file.

    The arrays of a ``.npz`` file are named like the inputs; for a single input the name does not
    matter if only one array has more than one axis (labels have one). Other arrays are ignored.

    Args:
        path: The file.
        convert: Makes arrays fit.

    Raises:
        OnnxPruneError: If it cannot be read, is damaged, or holds no arrays for the inputs.
    """
    if path.suffix.lower() == ".npy":
        arrays: Arrays = _single(open_npy(path), convert, str(path))
    else:
        arrays = _named(path, convert)
    with path.open("rb") as file:
        edges = [file.read(EDGE)]
        size = file.seek(0, 2)
        file.seek(max(0, size - EDGE))
        edges.append(file.read())
    return array_source(
        arrays, convert, f"samples of {path}", hashed(path.name, size, *edges), path
    )


def array_source(
    arrays: Arrays, convert: Converter, what: str, fingerprint: str = "", path: Path | None = None
) -> Source:
    """Samples on the first axis of arrays, which are read as they are asked for.

    Args:
        arrays: For each input its samples; inputs without axes theirs.
        convert: Makes arrays fit.
        what: What the samples are.
        fingerprint: Of the arrays; theirs is computed if it is empty.
        path: The file that they are of.

    Raises:
        OnnxPruneError: If the arrays differ in their number of samples.
    """
    where = str(path) if path is not None else what
    arrays = {name: arrays[name] for name in convert.inputs if name in arrays}
    total = _count(arrays, where)

    def read(indices: Indices) -> Feeds:
        return convert(_rows(arrays, indices), where)

    return Source(total, what, fingerprint or _fingerprint(arrays), read, path=path)


def sequence_source(items: Sequence[Any], convert: Converter) -> Source:
    """A sequence of feeds or arrays, each of one sample (without the first axis) or of several.

    Args:
        items: The sequence; it is passed through once to count, and its items are read again when
            their samples are needed.
        convert: Makes arrays fit.

    Raises:
        OnnxPruneError: If an item is none of these.
    """
    counts, marks = [], []
    for number, item in enumerate(items):
        where = f"given samples, item {number}"
        arrays = convert.with_samples(item, where)
        counts.append(_count(arrays, where))
        marks.append(_fingerprint(arrays))
    ends = np.cumsum(counts, dtype=np.int64)

    def read(indices: Indices) -> Feeds:
        owners = np.searchsorted(ends, indices, side="right")
        parts = []
        for owner in np.unique(owners):
            where = f"given samples, item {owner}"
            rows = indices[owners == owner] - (ends[owner] - counts[owner])
            arrays = convert.with_samples(items[owner], where)
            parts.append(convert(_rows(arrays, rows), where))
        return {name: _joined(name, [part[name] for part in parts]) for name in convert.inputs}

    return Source(sum(counts), "given samples", hashed(*marks), read)


def open_npy(path: Path) -> npt.NDArray[np.generic]:
    """The array of a ``.npy`` file, mapped, not read.

    Raises:
        OnnxPruneError: If it cannot be read, is damaged, or holds objects.
    """
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise OnnxPruneError(f"{path}: not a .npy file; write it with numpy.save")
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except OSError as error:
        raise OnnxPruneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise OnnxPruneError(
            f"{path}: damaged, or no plain array of samples ({error}); write it with numpy.save"
        ) from error


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in a ``.npz`` file.

    Raises:
        OnnxPruneError: If it cannot be read, or is none.
    """
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def open_npz(path: Path, names: Iterable[str]) -> dict[str, npt.NDArray[np.generic]]:
    """Arrays of a ``.npz`` file, unpacked to temporary files and mapped.

    Args:
        path: The file.
        names: Which of those that it has.

    Raises:
        OnnxPruneError: If it cannot be read, is damaged, or holds objects.
    """
    arrays = {}
    with _archive(path) as archive:
        for name in names:
            with (
                archive.open(f"{name}.npy") as packed,
                tempfile.NamedTemporaryFile(prefix="onnxprune-", suffix=".npy") as file,
            ):
                shutil.copyfileobj(packed, file)
                file.flush()
                # The mapping outlives the file's name.
                arrays[name] = np.load(file.name, mmap_mode="r", allow_pickle=False)
    return arrays


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise OnnxPruneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except zipfile.BadZipFile as error:
        raise OnnxPruneError(f"{path}: damaged, or no .npz file ({error}); {ADVICE}") from error
    except Exception as error:  # whatever a damaged member makes numpy and zlib raise
        raise OnnxPruneError(f"{path}: damaged, or no plain arrays ({error}); {ADVICE}") from error


def _single(array: npt.NDArray[np.generic], convert: Converter, where: str) -> Arrays:
    if len(convert.inputs) != 1:
        told = ", ".join(f"'{name}'" for name in convert.inputs)
        raise OnnxPruneError(
            f"{where}: one array does not feed the inputs {told}; give a .npz file with one for "
            f"each"
        )
    return {next(iter(convert.inputs)): array}


def _named(path: Path, convert: Converter) -> Arrays:
    """The arrays for the inputs, by the inputs' names."""
    names = npz_names(path)
    if convert.inputs.keys() <= set(names):
        return open_npz(path, convert.inputs)
    if len(convert.inputs) == 1:
        likely = [array for array in open_npz(path, names).values() if array.ndim > 1]
        if len(likely) == 1:
            return {next(iter(convert.inputs)): likely[0]}
    missing = min(convert.inputs.keys() - set(names))
    raise OnnxPruneError(
        f"{path}: no array for the input '{missing}' among {', '.join(sorted(names)) or 'none'}; "
        f"{ADVICE}"
    )


def _joined(name: str, parts: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    """Samples of several items, one after the other."""
    first = parts[0]
    if any(part.shape[1:] != first.shape[1:] for part in parts):
        shapes = " and ".join(sorted({str(part.shape[1:]) for part in parts})[:2])
        raise OnnxPruneError(
            f"given samples: those for '{name}' differ in shape, {shapes}; give a batch of 1, or "
            f"pad them"
        )
    if first.ndim:
        return np.concatenate(parts)
    if any(part != first for part in parts):
        raise OnnxPruneError(
            f"given samples: '{name}' has no axes, and so must be the same for all samples of a "
            f"batch; give a batch of 1"
        )
    return first


def _count(arrays: Arrays, where: str) -> int:
    """How many samples the arrays hold, which must be arrays of numbers."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise OnnxPruneError(
                f"{where}: '{name}' is an array of objects, not of numbers; its rows may differ in "
                f"length"
            )
    totals = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(totals.values())) > 1:
        told = ", ".join(f"'{name}' {total:,}" for name, total in totals.items())
        raise OnnxPruneError(f"{where}: the arrays differ in their number of samples: {told}")
    return next(iter(totals.values()), 0)


def _rows(arrays: Arrays, indices: Indices) -> Feeds:
    """Some samples; an array without axes is the same for all."""
    return {name: array[indices] if array.ndim else array for name, array in arrays.items()}


def _fingerprint(arrays: Arrays) -> str:
    parts: list[object] = []
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        parts += [name, array.dtype.str, array.shape, content]
    return hashed(*parts)
