"""``onnxprune prune``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from onnxprune.cli.calibration import DataOptions, data_options
from onnxprune.cli.recover import (
    Samples,
    choose_by,
    merged,
    read_samples,
    recover,
    refit_option,
    work_option,
)
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
from onnxprune.errors import OnnxPruneError, SaveError

if TYPE_CHECKING:
    from onnxprune.graph import Graph
    from onnxprune.runtime import Feeds
    from onnxprune.units import Units
    from onnxprune.verification import Verdict


_SHARES = {
    "ratio": "Keep about this fraction of the channels of every unit (of every class if global).",
    "macs": "Keep at most this fraction of the MACs.",
    "params": "Keep at most this fraction of the parameters.",
    "bytes": "Keep at most this fraction of the bytes of all weights.",
    "memory": "Keep at most this fraction of the peak memory of activations.",
}

_GUIDES = [
    *(click.option(f"--{name}", type=float, help=text) for name, text in _SHARES.items()),
    click.option(
        "--importance",
        metavar="NAME",
        help="What channels are worth; l1 by default, obs with --calibration unless that is noise "
        "or uniform.",
    ),
    click.option(
        "--scope",
        metavar="NAME",
        help="Who competes: the channels of each unit (local), of units alike (global), of all by "
        "their error curves (curves; the default with --calibration, unless that is noise or "
        "uniform, for obs and a cost such as --macs).",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="PATTERN",
        help="Prune only units so named: the unit, or a module or node that produces it.",
    ),
    click.option(
        "--protect",
        multiple=True,
        metavar="PATTERN",
        help="Keep units whole: by the name of the unit, or of a module or node that produces it.",
    ),
    click.option(
        "--kind",
        "roles",
        multiple=True,
        metavar="KIND",
        help="Prune only units of channel, head, head-size, group or hidden; repeatable.",
    ),
    click.option(
        "--members",
        metavar="NAME",
        help="Which weights of a unit count where weights or gradients are scored: its producers "
        "(the default), or all, those that take its channels too.",
    ),
    click.option(
        "--reduction",
        metavar="NAME",
        help="How their scores become one: mean (the default), sum, max, prod or first.",
    ),
    click.option(
        "--normalisation",
        metavar="NAME",
        help="How scores of different units become comparable with --scope global: mean (the "
        "default), sum, max, median, standard, gaussian, lamp or none.",
    ),
    click.option("--min-ratio", "at_least", type=float, help="Keep this fraction of every unit."),
    click.option("--max-ratio", "at_most", type=float, help="Keep no more of any unit."),
    click.option("--round-to", default=1, show_default=True, help="Keep multiples of this count."),
]


def _guiding(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that guide a choice."""
    for option in reversed(_GUIDES):
        function = option(function)
    return function


def _guide(asked: dict[str, Any], choices: Path | None) -> dict[str, Any]:
    """The arguments of `choose` that are asked for; none if a file says what to keep."""
    given = {
        name: value
        for name, value in asked.items()
        if click.get_current_context().get_parameter_source(name) != ParameterSource.DEFAULT
    }
    shares = {name: given.pop(name) for name in _SHARES if name in given}
    if bool(shares) == (choices is not None):
        both = ", not both" if shares else ""
        raise click.UsageError(
            f"Give one or more of {', '.join(f'--{name}' for name in _SHARES)}, or --choices{both}."
        )
    if choices is None:
        from onnxprune.budget import Budget

        return {"budget": [Budget(*share) for share in shares.items()], **given}
    if given:
        options = click.get_current_context().command.params
        told = ", ".join(option.opts[0] for option in options if option.name in given)
        raise click.UsageError(f"{told} would guide a choice; --choices leaves none to make.")
    return {}


@click.command("prune")
@model_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The result.")
@_guiding
@click.option("--choices", type=click.Path(path_type=Path), help="Keep what this file says.")
@click.option("--save-choices", type=click.Path(path_type=Path), help="Write what was kept there.")
@data_options("--calibration")
@refit_option
@work_option
@feeds_option
@reference_option
@click.option("--no-verify", is_flag=True, help="Do not prove the result.")
@click.option("--keep-failed", is_flag=True, help="Write the result even if it is not proven.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@untie_option
@allow_io_option
@format_option
def command(
    model: Path,
    output: Path,
    choices: Path | None,
    save_choices: Path | None,
    data: DataOptions | None,
    method: str | None,
    work: Path | None,
    feeds: Path | None,
    reference: str,
    no_verify: bool,
    keep_failed: bool,
    force: bool,
    untie: bool,
    allow_io: tuple[str, ...],
    form: str,
    **asked: Any,
) -> None:
    """Write a smaller MODEL to the output, verified.

    Say how much is to be kept by --ratio, --macs, --params, --bytes and --memory, of which several
    hold together, or by --choices. --calibration names inputs without labels: they tell which
    channels matter, and the weights that stay are fitted to what the original computes with them.
    """
    guide = _guide(asked, choices)
    with progress(f"reading {model}"):
        from onnxprune.api import find_units, prune
        from onnxprune.report import prune_report, prune_text, size_of

        _check_targets(output, save_choices, force)
        inputs = read_feeds(feeds)
        units = find_units(model, untie=untie, allow_io=allow_io)
        _check_choices_file(units, save_choices)
        size = size_of(units.graph)
        samples = read_samples(data, units.graph, method, work)
    chosen = choose_by(units, guide, samples) if guide else None
    with progress(f"pruning {model}"):
        pruned, calibration = prune(units, choices), None
    if samples is not None:
        pruned, calibration = recover(units, pruned, samples, chosen)
    elif method == "merge":
        pruned, calibration = merged(units, pruned, chosen)
    with progress(f"verifying {output}"):
        verdict = None if no_verify else _verdict(units, pruned, inputs, reference, samples)
    proven = verdict is None or verdict.passed
    files: tuple[Path, ...] = ()
    if proven or keep_failed:
        files = _write(units, pruned, output, save_choices, force)
    emit(form, prune_report(units, pruned, verdict, files, calibration, size), prune_text)
    if verdict is not None:
        verdict.check()


def _check_targets(output: Path, save_choices: Path | None, force: bool) -> None:
    """Raise now if something could not be written later."""
    from onnxprune.graph import check_target

    for target in filter(None, (output, save_choices)):
        check_target(target, force)
    if save_choices is not None and save_choices.absolute() == output.absolute():
        raise SaveError(f"{output}: the model and its choices cannot both be written there")


def _check_choices_file(units: Units, save_choices: Path | None) -> None:
    """Raise if choices would take the place of the model that they are of."""
    if save_choices is None or not save_choices.exists():
        return
    if any(save_choices.samefile(file) for file in units.graph.files):
        raise SaveError(f"{save_choices}: the model is read from there; name another file")


def _verdict(
    units: Units, pruned: Graph, feeds: Feeds | None, reference: str, samples: Samples | None
) -> Verdict:
    """Verify with the given feeds, or random ones, or samples where those do not run."""
    from onnxprune.api import verify

    try:
        return verify(units, pruned, None, feeds, reference)
    except OnnxPruneError:
        if feeds is not None or samples is None:
            raise
        return verify(units, pruned, None, next(iter(samples.fitting)), reference)


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
