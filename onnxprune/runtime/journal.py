"""Results in a folder, so that long work that was cut goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import SaveError
from onnxprune.graph import Graph
from onnxprune.version import __version__

__all__ = ["Journal", "Pages", "identity"]

Array = npt.NDArray[Any]

_ABOUT = "about"
"""The array of a file that says what the others are of."""


class Journal:
    """Keeps results in a folder, from where the same work takes them when it is done again.

    Args:
        folder: Where; it is made if there is none.

    Attributes:
        folder: Where.
        taken: How many results were taken from there.
        added: How many were added.

    Raises:
        SaveError: If it is no folder, or nothing can be written there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.taken = self.added = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise _refusal(self.folder, error) from None
        if not os.access(self.folder, os.R_OK | os.W_OK | os.X_OK):
            raise _refusal(self.folder, "it is not permitted")

    def pages(self, title: str, *about: object) -> Pages:
        """Where results of one kind of work are kept.

        Args:
            title: What they are, for who looks into the folder: ``moments``.
            about: All that the results depend on, as numbers and texts that have no other reading;
                a text for what is large is its hash. The version of onnxprune is added.
        """
        return Pages(self, title, _hash(__version__, title, *about))


class Pages:
    """Results of one kind of work, by name.

    Args:
        journal: What they are part of; None keeps nothing.
        title: What they are.
        about: A hash of what they depend on.
    """

    def __init__(self, journal: Journal | None = None, title: str = "", about: str = "") -> None:
        self._journal, self._title, self._about = journal, title, about

    def get(self, *name: object) -> dict[str, Array] | None:
        """What was kept; None if nothing was, or its file is damaged.

        Args:
            name: What of the work it is of, as numbers and texts.
        """
        if self._journal is None:
            return None
        path, about = self._place(self._journal, name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: np.asarray(archive[key]) for key in archive.files}
            if str(arrays.pop(_ABOUT)) != about:
                return None
        except Exception:  # no such file, or whatever a damaged one makes numpy and zlib raise
            return None
        self._journal.taken += 1
        return arrays

    def put(self, *name: object, arrays: Mapping[str, Array]) -> None:
        """Keep what belongs to a name, whole or not at all.

        Args:
            name: What of the work it is of, as numbers and texts.
            arrays: Arrays of numbers or texts.

        Raises:
            SaveError: If it cannot be written.
        """
        if self._journal is None:
            return
        path, about = self._place(self._journal, name)
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
        written: dict[str, Any] = {**arrays, _ABOUT: np.array(about)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                np.savez(file, **written)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise _refusal(self._journal.folder, error) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._journal.added += 1

    def _place(self, journal: Journal, name: tuple[object, ...]) -> tuple[Path, str]:
        about = _hash(self._about, *name)
        return journal.folder / f"{self._title}-{self._about[:16]}" / f"{about[:32]}.npz", about


def identity(graph: Graph) -> str:
    """A hash of a graph and of all its weights, those in files of their own too.

    Args:
        graph: The graph. Weights are read one by one.
    """
    digest = hashlib.sha256(graph.source.sha256.encode())
    for name, value in [item for g in graph.model.graphs() for item in g.initializers.items()]:
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            continue  # no weights; the hash of the model file knows them
        digest.update(repr((name, str(tensor.dtype), tensor.shape.numpy())).encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _refusal(folder: Path, reason: Exception | str) -> SaveError:
    if isinstance(reason, OSError):
        reason = reason.strerror or reason
    return SaveError(
        f"{str(folder)!r}: results cannot be kept there ({reason}); give a folder that may be "
        f"written to and has space left, or the name of a new one"
    )
