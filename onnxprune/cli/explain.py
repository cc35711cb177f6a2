"""``onnxprune explain``."""

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


@click.command("explain")
@model_argument
@click.argument("name")
@untie_option
@allow_io_option
@format_option
def command(model: Path, name: str, untie: bool, allow_io: tuple[str, ...], form: str) -> None:
    """Tell why the unit, node or weight NAME of MODEL is as it is."""
    with progress(f"reading {model}"):
        from onnxprune.api import find_units
        from onnxprune.report import explain, explain_text

        lines = explain(find_units(model, untie=untie, allow_io=allow_io), name)
    emit(form, lines, explain_text)
