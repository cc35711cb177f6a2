"""``onnxprune prune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
from onnxprune.errors import SaveError

if TYPE_CHECKING:
    from onnxprune.graph import Graph
    from onnxprune.units import Units


@click.command("prune")
@model_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The result.")
@click.option("--ratio", type=float, help="Keep about this fraction of every unit's channels.")
@click.option("--macs", type=float, help="Keep at most this fraction of the MACs.")
@click.option("--params", type=float, help="Keep at most this fraction of the parameters.")
@click.option("--choices", type=click.Path(path_type=Path), help="Keep what this file says.")
@click.option("--importance", default="l1", show_default=True, help="What channels are worth.")
@click.option(
    "--protect",
    multiple=True,
    metavar="PATTERN",
    help="Keep units whole: by the name of the unit, or of a module or node that produces it.",
)
@click.option(
    "--kind",
    "roles",
    multiple=True,
    metavar="KIND",
    help="Prune only units of channel, head, head-size, group or hidden; repeatable.",
)
@click.option("--round-to", default=1, show_default=True, help="Keep multiples of this count.")
@click.option("--save-choices", type=click.Path(path_type=Path), help="Write what was kept there.")
@feeds_option
@reference_option
@click.option("--no-verify", is_flag=True, help="Do not run the result.")
@click.option("--keep-failed", is_flag=True, help="Write the result even if it is not proven.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@untie_option
@allow_io_option
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
    roles: tuple[str, ...],
    round_to: int,
    save_choices: Path | None,
    feeds: Path | None,
    reference: str,
    no_verify: bool,
    keep_failed: bool,
    force: bool,
    untie: bool,
    allow_io: tuple[str, ...],
    form: str,
) -> None:
    """Write a smaller MODEL to the output, verified.

    Say how much is to be kept by exactly one of --ratio, --macs, --params and --choices.
    """
    asked = {"ratio": ratio, "macs": macs, "params": params}
    budgets = {name: value for name, value in asked.items() if value is not None}
    if len(budgets) + (choices is not None) != 1:
        raise click.UsageError("Give exactly one of --ratio, --macs, --params and --choices.")
    if choices is not None and (protect or roles or importance != "l1" or round_to != 1):
        raise click.UsageError(
            "--importance, --protect, --kind and --round-to guide a choice; --choices leaves none "
            "to make."
        )
    with progress(f"pruning {model}"):
        from onnxprune.api import choose, find_units, prune, verify
        from onnxprune.budget import Budget
        from onnxprune.report import prune_report, prune_text

        budget = [Budget(name, value) for name, value in budgets.items()]
        _check_targets(output, save_choices, force)
        inputs = read_feeds(feeds)
        units = find_units(model, untie=untie, allow_io=allow_io)
        if budget:
            choose(units, budget[0], importance, protect, round_to, roles)
        pruned = prune(units, choices)
    with progress(f"verifying {output}"):
        verdict = None if no_verify else verify(units, pruned, None, inputs, reference)
    proven = verdict is None or verdict.passed
    files: tuple[Path, ...] = ()
    if proven or keep_failed:
        files = _write(units, pruned, output, save_choices, force)
    emit(form, prune_report(units, pruned, verdict, files), prune_text)
    if verdict is not None:
        verdict.check()


def _check_targets(output: Path, save_choices: Path | None, force: bool) -> None:
    """Raise now if something could not be written later."""
    from onnxprune.graph import check_target

    for target in filter(None, (output, save_choices)):
        check_target(target, force)
    if save_choices is not None and save_choices.absolute() == output.absolute():
        raise SaveError(f"{output}: the model and its choices cannot both be written there")


def _write(
    units: Units, pruned: Graph, output: Path, save_choices: Path | None, force: bool
) -> tuple[Path, ...]:
    """Write the model, and first its choices, which vanish again if the model cannot follow."""
    from onnxprune.choice import Choices
    from onnxprune.graph import save

    is_new = save_choices is not None and not save_choices.exists()
    try:
        if save_choices is not None:
            save_choices.write_text(Choices.of(units).to_json(), encoding="utf-8")
        return save(pruned, output, force=force)
    except BaseException as error:
        if save_choices is not None and is_new:
            save_choices.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SaveError(f"{save_choices}: cannot be written ({error.strerror})") from error
        raise
