"""``onnxprune units``."""

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


@click.command("units")
@model_argument
@click.option("--all", "everything", is_flag=True, help="Also those that must stay whole.")
@untie_option
@allow_io_option
@format_option
def command(
    model: Path, everything: bool, untie: bool, allow_io: tuple[str, ...], form: str
) -> None:
    """List the units of MODEL: which channels depend on each other."""
    with progress(f"reading {model}"):
        from onnxprune.api import find_units
        from onnxprune.report import unit_reports, units_text

        reports = unit_reports(find_units(model, untie=untie, allow_io=allow_io))
    if not everything and form == "text":
        reports = [report for report in reports if report.is_mutable]
    emit(form, reports, units_text)
