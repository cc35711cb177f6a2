"""What commands have in common: their options, progress, and where output goes."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.errors import OnnxPruneError, plain

if TYPE_CHECKING:
    from onnxprune.runtime.feeds import Feeds

__all__ = [
    "allow_io_option",
    "emit",
    "feeds_option",
    "format_option",
    "model_argument",
    "progress",
    "read_feeds",
    "reference_option",
    "tracking",
    "untie_option",
]

model_argument = click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The form of what is written to standard output.",
)

feeds_option = click.option(
    "--feeds",
    type=click.Path(path_type=Path),
    help="Inputs to verify with: a .npz file, one array for each input. Random ones otherwise.",
)

reference_option = click.option(
    "--reference",
    default="auto",
    show_default=True,
    help="What to verify against: auto, zero-masking or torch.",
)


allow_io_option = click.option(
    "--allow-io",
    multiple=True,
    metavar="PATTERN",
    help="Let inputs and outputs so named lose channels (a recurrent state, a cache); repeatable.",
)

untie_option = click.option(
    "--untie",
    is_flag=True,
    help="Give each use of a shared weight its own copy, to prune them apart.",
)


def emit(form: str, report: object, text: Callable[[Any], str]) -> None:
    """Write a report to standard output, one JSON document or text."""
    import msgspec

    if form == "json":
        written = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        # Valid JSON may hold these as they are; a terminal must not see them.
        written = re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", written)
    else:
        written = text(report)
    try:
        print(written, flush=True)
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def progress(message: str) -> Iterator[None]:
    """Show on a terminal what is being done; elsewhere show nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(plain(message))):
        yield


@contextlib.contextmanager
def tracking(message: str) -> Iterator[Callable[[Sequence[Any]], Iterable[Any]]]:
    """Show on a terminal how far a sequence is, which what is given wraps; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda items: items
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(plain(message)), total=None)
        yield lambda items: bar.track(items, total=len(items), task_id=task)


def read_feeds(path: Path | None) -> Feeds | None:
    """Read inputs by name from a ``.npz`` file.

    Raises:
        OnnxPruneError: If it cannot be read.
    """
    if path is None:
        return None
    import zipfile

    import numpy as np

    advice = "write it with numpy.savez(path, name=array), one array for each input"
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise OnnxPruneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except zipfile.BadZipFile as error:
        raise OnnxPruneError(f"{path}: not a .npz file; {advice}") from error
    except Exception as error:  # whatever a damaged member makes numpy and zlib raise
        raise OnnxPruneError(f"{path}: damaged, or no plain arrays ({error}); {advice}") from error
