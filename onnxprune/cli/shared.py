"""What commands have in common: their options, progress, and where output goes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from onnxprune.verification.feeds import Feeds

__all__ = ["emit", "format_option", "model_argument", "progress", "read_feeds"]

model_argument = click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The form of what is written to standard output.",
)


def emit(form: str, report: object, text: Callable[[Any], str]) -> None:
    """Write a report to standard output, one JSON document or text."""
    import msgspec

    if form == "json":
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        print(text(report))


@contextlib.contextmanager
def progress(message: str) -> Iterator[None]:
    """Show on a terminal what is being done; elsewhere show nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


def read_feeds(path: Path | None) -> Feeds | None:
    """Read inputs by name from a ``.npz`` file.

    Raises:
        OnnxPruneError: If it cannot be read.
    """
    if path is None:
        return None
    import numpy as np

    from onnxprune.errors import OnnxPruneError

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, EOFError) as error:
        raise OnnxPruneError(
            f"Cannot read the feeds '{path}': {error}; write them with numpy.savez, one array "
            f"for each input."
        ) from error
