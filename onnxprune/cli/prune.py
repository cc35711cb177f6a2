"""``onnxprune prune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.shared import emit, format_option, model_argument, progress, read_feeds

if TYPE_CHECKING:
    from onnxprune.units import Units


@click.command("prune")
@model_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The result.")
@click.option("--ratio", type=float, help="Keep about this fraction of every unit's channels.")
@click.option("--macs", type=float, help="Keep at most this fraction of the MACs.")
@click.option("--params", type=float, help="Keep at most this fraction of the parameters.")
@click.option("--choices", type=click.Path(path_type=Path), help="Keep what this file says.")
@click.option("--importance", default="l1", show_default=True, help="What channels are worth.")
@click.option("--protect", multiple=True, metavar="PATTERN", help="Keep these outputs whole.")
@click.option("--round-to", default=1, show_default=True, help="Keep multiples of this.")
@click.option("--save-choices", type=click.Path(path_type=Path), help="Write what was kept there.")
@click.option("--feeds", type=click.Path(path_type=Path), help="Inputs (.npz) to verify with.")
@click.option(
    "--reference",
    default="auto",
    show_default=True,
    help="What to verify against: auto, zero-masking or torch.",
)
@click.option("--no-verify", is_flag=True, help="Do not run the result.")
@click.option("--keep-failed", is_flag=True, help="Write the result even if it is not proven.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@format_option
def command(
    model: Path,
    output: Path,
    ratio: float | None,
    macs: float | None,
    params: float | None,
    choices: Path | None,
    importance: str,
    protect: tuple[str, ...],
    round_to: int,
    save_choices: Path | None,
    feeds: Path | None,
    reference: str,
    no_verify: bool,
    keep_failed: bool,
    force: bool,
    form: str,
) -> int:
    """Write a smaller MODEL to the output, verified.

    Say how much is to be kept by exactly one of --ratio, --macs, --params and --choices.
    """
    asked = {"ratio": ratio, "macs": macs, "params": params}
    budgets = {name: value for name, value in asked.items() if value is not None}
    if len(budgets) + (choices is not None) != 1:
        raise click.UsageError("give exactly one of --ratio, --macs, --params and --choices")
    with progress(f"pruning {model}"):
        from onnxprune.api import find_units, prune, verify
        from onnxprune.budget import Budget
        from onnxprune.choice import Choices, choose, read_choices
        from onnxprune.graph import check_target, save
        from onnxprune.report import prune_report, prune_text

        budget = next((Budget(name, value) for name, value in budgets.items()), None)
        for target in filter(None, (output, save_choices)):
            check_target(target, force)
        inputs = read_feeds(feeds)
        units: Units = find_units(model)
        if budget is not None:
            choose(units, budget, importance, protect, round_to)
        elif choices is not None:
            read_choices(choices).apply(units)
        pruned = prune(units)
    with progress(f"verifying {output}"):
        verdict = None if no_verify else verify(units, pruned, None, inputs, reference)
    if verdict is None or verdict.passed or keep_failed:
        save(pruned, output, force=force)
        if save_choices is not None:
            save_choices.write_text(Choices.of(units).to_json())
        written: Path | None = output
    else:
        written = None
    emit(form, prune_report(units, pruned, verdict, written), prune_text)
    if verdict is not None and not verdict.passed:
        click.echo(f"onnxprune: {'; '.join(verdict.problems)}", err=True)
        return 1
    return 0
