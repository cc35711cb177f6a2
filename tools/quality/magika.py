"""magika: what type of content the files of this machine have.

The inputs are computed as magika 1.0.3 does (`Magika._extract_features_from_seekable` in
magika/magika.py, with the sizes and the padding token of its config.min.json): at most a block from
either end of the file, stripped of white space at the outer end, its first or last bytes, padded on
the inner side.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np

from onnxprune.calibration import Calibration
from tools.quality.case import Answers, Array, Case, batched, model_path
from tools.quality.sources import Source, members

__all__ = ["TYPES", "Config", "case", "features", "files_by_extension", "split"]

T = TypeVar("T")

CONFIG = Source(
    *("magika", "1.0.3", "magika/models/standard_v3_3/config.min.json"),
    "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
)
FOLDERS = (
    *("/usr/share", "/usr/lib", "/usr/include"),
    *(sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")),
)
CALIBRATION, TESTS = 8, 12
"""Files of each extension."""
BATCH = 32

TYPES: Mapping[str, tuple[str, ...]] = {
    **{f".{name}": (name,) for name in ("c", "cmake", "css", "csv", "diff", "gif", "go", "html")},
    **{f".{name}": (name,) for name in ("ini", "jar", "java", "json", "lua", "m4", "npy", "npz")},
    **{f".{name}": (name,) for name in ("onnx", "pdf", "php", "png", "po", "proto", "rst", "sql")},
    **{f".{name}": (name,) for name in ("svg", "tar", "tcl", "toml", "tsv", "ttf", "vue", "wasm")},
    **{f".{name}": (name,) for name in ("wav", "woff", "woff2", "xml", "yaml", "zip")},
    ".awk": ("awk",),
    ".bat": ("batch",),
    ".cc": ("cpp",),
    ".cpp": ("cpp",),
    ".crt": ("crt", "pem"),
    ".el": ("lisp",),
    ".exe": ("pebin",),
    ".f": ("fortran",),
    ".f90": ("fortran",),
    ".gz": ("gzip",),
    ".h": ("c", "cpp"),
    ".hpp": ("cpp",),
    ".ico": ("ico",),
    ".ipynb": ("ipynb",),
    ".jpg": ("jpeg",),
    ".js": ("javascript",),
    ".md": ("markdown",),
    ".o": ("elf",),
    ".patch": ("diff",),
    ".pem": ("pem", "crt"),
    ".pl": ("perl",),
    ".pm": ("perl",),
    ".pom": ("xml",),
    ".ps": ("postscript",),
    ".py": ("python",),
    ".pyc": ("pythonbytecode",),
    ".pyi": ("python",),
    ".rb": ("ruby",),
    ".rs": ("rust",),
    ".sh": ("shell",),
    ".so": ("elf",),
    ".tex": ("latex",),
    ".ts": ("typescript",),
    ".txt": ("txt",),
    ".whl": ("zip",),
    ".xsd": ("xml",),
    ".yml": ("yaml",),
}
"""Extension -> the content types, in magika's words, that such a file may have."""


class Config(msgspec.Struct):
    """What magika's configuration says of the inputs and the answers."""

    beg_size: int
    end_size: int
    padding_token: int
    block_size: int
    min_file_size_for_dl: int
    target_labels_space: list[str]
    overwrite_map: dict[str, str]

    def label(self, index: int) -> str:
        """The content type that an output stands for."""
        label = self.target_labels_space[index]
        return self.overwrite_map.get(label, label)


def features(file: BinaryIO, config: Config) -> Array | None:
    """The input (beg_size + end_size,) int32 for a file; None if magika does not ask the model."""
    size = file.seek(0, os.SEEK_END)
    block = min(config.block_size, size)
    file.seek(0)
    begin = file.read(block).lstrip()[: config.beg_size]
    file.seek(size - block)
    end = file.read(block).rstrip()[-config.end_size :]
    if size < config.min_file_size_for_dl or len(begin) < config.min_file_size_for_dl:
        return None
    found = np.full(config.beg_size + config.end_size, config.padding_token, np.int32)
    found[: len(begin)] = np.frombuffer(begin, np.uint8)
    found[len(found) - len(end) :] = np.frombuffer(end, np.uint8)
    return found


def files_by_extension(folders: Sequence[str | Path]) -> dict[str, list[Path]]:
    """The regular files below some folders that have a known extension, sorted by path."""
    found: dict[str, list[Path]] = {extension: [] for extension in sorted(TYPES)}
    for path in sorted({path for folder in folders for path in _walk(Path(folder))}):
        found[path.suffix].append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if path.suffix in TYPES and not path.is_symlink() and os.access(path, os.R_OK):
                yield path


def split(
    files: Mapping[str, Sequence[Path]], config: Config, first: int, second: int
) -> tuple[list[tuple[str, Array]], list[tuple[str, Array]]]:
    """Two sets of (extension, features): so many files of each extension, no content twice.

    They are spread evenly over the sorted paths, because neighbours resemble each other. An
    extension that has too few shares what it has between the two in the same proportion.
    """
    sets: tuple[list[tuple[str, Array]], list[tuple[str, Array]]] = ([], [])
    seen: set[bytes] = set()
    for extension, paths in files.items():
        found: list[tuple[str, Array]] = []
        for path in paths[:: max(1, len(paths) // (2 * (first + second)))]:
            with path.open("rb") as file:
                input = features(file, config)
            digest = b"" if input is None else hashlib.sha256(input.tobytes()).digest()
            if input is None or digest in seen:
                continue
            seen.add(digest)
            found.append((extension, input))
        found = _spread(found, first + second)
        mine = _spread(range(len(found)), len(found) * first // (first + second))
        for index, item in enumerate(found):
            sets[index not in mine].append(item)
    return sets


def _spread(items: Sequence[T], count: int) -> list[T]:
    """So many of the items, evenly spread; all if there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def case(folder: Path) -> Case:
    """The model with files of this machine."""
    [path] = members([CONFIG], folder)
    config = msgspec.json.decode(path.read_bytes(), type=Config)
    calibration, tests = split(files_by_extension(FOLDERS), config, CALIBRATION, TESTS)
    extensions = [extension for extension, _ in tests]
    feeds = batched("bytes", [input for _, input in calibration], BATCH)

    def read(scores: Array) -> Answers:
        return [config.label(index) for index in scores.argmax(axis=1)]

    def quality(original: Answers, pruned: Answers) -> dict[str, float]:
        right = [a in TYPES[e] for a, e in zip(pruned, extensions, strict=True)]
        same = [a == b for a, b in zip(original, pruned, strict=True)]
        return {"same answer": float(np.mean(same)), "right by extension": float(np.mean(right))}

    return Case(
        name="magika",
        path=model_path("magika", folder),
        about=f"Files of this machine with {len(set(extensions))} extensions, up to {CALIBRATION} "
        f"of each to calibrate and {TESTS} to test, no content twice, read as magika reads them. "
        "*same answer*: the share of files for which the type of the highest score is the "
        "original's; *right by extension*: for which it is one that the extension stands for "
        "(`TYPES` in `tools/quality/magika.py`), though extensions are used freely.",
        sizes={"bytes": (1, config.beg_size + config.end_size)},
        output="target_label",
        calibration=Calibration(lambda: feeds, len(calibration), "files of this machine"),
        tests=batched("bytes", [input for _, input in tests], BATCH),
        read=read,
        quality=quality,
    )
