"""``onnxprune verify``."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.shared import (
    allow_io_option,
    emit,
    feeds_option,
    format_option,
    model_argument,
    progress,
    read_feeds,
    reference_option,
    untie_option,
)


@click.command("verify")
@model_argument
@click.argument("pruned", type=click.Path(path_type=Path))
@click.option("--choices", type=click.Path(path_type=Path), help="What was kept.")
@feeds_option
@reference_option
@untie_option
@allow_io_option
@format_option
def command(
    model: Path,
    pruned: Path,
    choices: Path | None,
    feeds: Path | None,
    reference: str,
    untie: bool,
    allow_io: tuple[str, ...],
    form: str,
) -> int:
    """Check that PRUNED answers as MODEL does without the removed channels.

    What was removed is read from PRUNED itself unless --choices says it.
    """
    with progress(f"verifying {pruned}"):
        from onnxprune.api import find_units, verify
        from onnxprune.graph import load
        from onnxprune.report import verify_report, verify_text
        from onnxprune.rewrite import recall

        inputs = read_feeds(feeds)
        units = find_units(model, untie=untie, allow_io=allow_io)
        if choices is None:
            recall(units, load(pruned))
        verdict = verify(units, pruned, choices, inputs, reference)
    emit(form, verify_report(units, pruned, verdict), verify_text)
    verdict.check()
    return 0
