"""``onnxprune inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.shared import (
    allow_io_option,
    emit,
    format_option,
    model_argument,
    progress,
    untie_option,
)


@click.command("inspect")
@model_argument
@untie_option
@allow_io_option
@format_option
def command(model: Path, untie: bool, allow_io: tuple[str, ...], form: str) -> None:
    """Show what MODEL is and how much of it can be pruned."""
    with progress(f"reading {model}"):
        from onnxprune.api import find_units
        from onnxprune.report import inspect_report, inspect_text

        report = inspect_report(find_units(model, untie=untie, allow_io=allow_io))
    emit(form, report, inspect_text)
