"""Where samples come from, before any are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from onnxprune.runtime import Feeds

__all__ = ["Indices", "Source", "hashed"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """Samples that can be read in any order.

    Attributes:
        total: How many there are.
        what: What they are: ``images of photos``.
        fingerprint: A hash of where they come from: names, sizes, ends of files.
        read: From indices to their feeds, as the graph takes them, samples on the first axis.
        names: For each sample its file below `path`; none if samples are not files.
        path: The file or folder, None for what is none.
        natural: Whether they are what models are made for, and not noise.
        correlated: Whether their values vary together as those of what models are made for do.
    """

    total: int
    what: str
    fingerprint: str
    read: Callable[[Indices], Feeds]
    names: tuple[str, ...] = ()
    path: Path | None = None
    natural: bool = True
    correlated: bool = True


def hashed(*parts: object) -> str:
    """A SHA-256 of bytes and of what else there is by its text."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else repr(part).encode()
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()
