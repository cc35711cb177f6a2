"""Arrays that are kept while a graph is walked: in memory up to a limit, beyond it on disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Store"]

Array = npt.NDArray[np.generic]


class Store:
    """Keeps arrays.

    Args:
        limit: Bytes that may lie in memory; what is beyond is written to a temporary folder, which
            goes when the store does.
    """

    def __init__(self, limit: int = 1 << 30) -> None:
        self._limit = limit
        self._held = 0
        self._written = 0
        self._folder: Path | None = None

    def put(self, array: Array) -> Array:
        """Keep an array; the one to read it from."""
        if not isinstance(array, np.ndarray):  # a sequence or nothing at all
            return array
        if self._held + array.nbytes <= self._limit or array.dtype.hasobject or not array.ndim:
            self._held += array.nbytes
            return array
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="onnxprune-")).resolve()
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{self._written}.npy"
        self._written += 1
        np.save(path, array)
        mapped: Array = np.load(path, mmap_mode="r")
        return mapped

    def drop(self, array: Array) -> None:
        """Forget an array that `put` gave."""
        if isinstance(array, np.memmap) and Path(str(array.filename)).parent == self._folder:
            Path(str(array.filename)).unlink(missing_ok=True)
        elif isinstance(array, np.ndarray):
            self._held -= array.nbytes
