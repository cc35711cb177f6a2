"""``onnxprune verify``."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.shared import emit, format_option, model_argument, progress, read_feeds


@click.command("verify")
@model_argument
@click.argument("pruned", type=click.Path(path_type=Path))
@click.option("--choices", type=click.Path(path_type=Path), help="What was kept.")
@click.option("--feeds", type=click.Path(path_type=Path), help="Inputs (.npz) to verify with.")
@click.option(
    "--reference",
    default="auto",
    show_default=True,
    help="What to verify against: auto, zero-masking or torch.",
)
@format_option
def command(
    model: Path, pruned: Path, choices: Path | None, feeds: Path | None, reference: str, form: str
) -> int:
    """Check that PRUNED answers as MODEL does without the removed channels.

    What was removed is read from PRUNED itself unless --choices says it.
    """
    with progress(f"verifying {pruned}"):
        from onnxprune.api import find_units, verify
        from onnxprune.graph import load
        from onnxprune.report import prune_report, prune_text
        from onnxprune.rewrite import recall

        inputs = read_feeds(feeds)
        units, small = find_units(model), load(pruned)
        if choices is None:
            recall(units, small)
        verdict = verify(units, small, choices, inputs, reference)
    emit(form, prune_report(units, small, verdict, pruned), prune_text)
    if not verdict.passed:
        click.echo(f"onnxprune: {'; '.join(verdict.problems)}", err=True)
        return 1
    return 0
