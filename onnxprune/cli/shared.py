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

from onnxprune.errors import plain

if TYPE_CHECKING:
    from onnxprune.runtime.feeds import Feeds

__all__ = [
    "allow_io_option",
    "bar",
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
def bar(message: str, total: int | None = None) -> Iterator[Callable[..., object]]:
    """Show on a terminal how far something is; elsewhere show nothing.

    Args:
        message: What is done.
        total: How much there is to do, None if that is told later.

    Yields:
        A function ``show(count, completed=, total=, more=)``: how much more is done, or how much
        by now, of how much, and what follows the message.
    """
    if not sys.stderr.isatty():
        yield lambda *_, **__: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(plain(message)), total=total)

        def show(
            count: int | None = None,
            completed: int | None = None,
            total: int | None = None,
            more: str = "",
        ) -> None:
            text = escape(plain(message + more))
            progress.update(task, advance=count, completed=completed, total=total, description=text)

        yield show


@contextlib.contextmanager
def tracking(message: str) -> Iterator[Callable[[Sequence[Any]], Iterable[Any]]]:
    """Show on a terminal how far a sequence is, which what is given wraps; elsewhere nothing."""
    with bar(message) as show:

        def track(items: Sequence[Any]) -> Iterator[Any]:
            show(total=len(items), completed=0)
            for item in items:
                yield item
                show(1)

        yield track


def read_feeds(path: Path | None) -> Feeds | None:
    """Read inputs by name from a ``.npz`` file.

    Raises:
        OnnxPruneError: If it cannot be read.
    """
    if path is None:
        return None
    from onnxprune.calibration.arrays import npz_names, open_npz

    return open_npz(path, npz_names(path))
