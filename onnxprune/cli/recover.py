"""What ``onnxprune prune`` does with calibration inputs: measure, fit, and look what came of it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.calibration import DataOptions
from onnxprune.cli.shared import progress, tracking
from onnxprune.errors import OnnxPruneError, plain

if TYPE_CHECKING:
    from onnxprune.calibration import Dataset
    from onnxprune.graph import Graph
    from onnxprune.report import CalibrationReport, HeldOutReport
    from onnxprune.runtime.journal import Journal
    from onnxprune.units import Units

__all__ = [
    "Samples",
    "choose_by",
    "merged",
    "read_samples",
    "recover",
    "refit_option",
    "work_option",
]

refit_option = click.option(
    "--refit",
    "method",
    metavar="METHOD",
    help="Fit weights anew to the inputs: sequential, one-shot, channel, mean, affine or none; or "
    "merge, by the weights alone. sequential by default, one-shot with noise and uniform, none "
    "without --calibration.",
)

work_option = click.option(
    "--work",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep what is measured and fitted there: the same command goes on after an interruption, "
    "and another budget measures nothing again.",
)


@dataclass(frozen=True, slots=True)
class Samples:
    """Calibration inputs in two parts.

    Attributes:
        every: All of them.
        fitting: Those that are measured and fitted with.
        held: Those that are only looked at afterwards, None if there are too few for any.
        seed: Of the draw, and of the rows that are measured and fitted.
        method: How to refit, ``none`` for not at all.
        journal: What keeps the results, None for nothing.
    """

    every: Dataset
    fitting: Dataset
    held: Dataset | None
    seed: int
    method: str
    journal: Journal | None


def read_samples(
    data: DataOptions | None, graph: Graph, method: str | None, work: Path | None
) -> Samples | None:
    """Read what was asked for, None where nothing was.

    Args:
        data: What was said of the data.
        graph: The original.
        method: How to refit, as it was asked for.
        work: The folder that keeps the results, None for none.

    Raises:
        OnnxPruneError: If there is no such method, the data do not fit the graph, or nothing can
            be written to the folder.
        UsageError: If something is to be fitted or kept without data.
    """
    from onnxprune.api import defaults
    from onnxprune.refit import METHODS
    from onnxprune.runtime.journal import Journal

    if method not in (None, "none", "merge"):
        METHODS.get(str(method))
    if data is None:
        if method not in (None, "none", "merge"):
            raise click.UsageError(
                "--refit needs inputs to fit weights to; give --calibration, which may be noise, "
                "or take merge, which needs none."
            )
        if work is not None:
            raise click.UsageError("--work keeps what is told by inputs; give --calibration.")
        return None
    every = data.dataset(graph)
    method, journal = method or defaults(every).refit, None if work is None else Journal(work)
    return Samples(every, *every.split(), data.seed, method, journal)


def choose_by(units: Units, guide: dict[str, Any], samples: Samples | None) -> tuple[str, float]:
    """Choose what units keep; by which importance, and how many seconds it was measured.

    Args:
        units: The units, whose choices are set.
        guide: The arguments of `choose` that were asked for.
        samples: Inputs to measure with.
    """
    from onnxprune.api import default_scope, defaults, measure_evidence
    from onnxprune.choice import choose
    from onnxprune.importance import Evidence

    every, seconds = None if samples is None else samples.every, 0.0
    importance = guide.get("importance") or defaults(every).importance
    scope = guide.get("scope") or default_scope(every, importance, guide["budget"])
    known = Evidence(
        **{name: guide.pop(name) for name in ("members", "reduction") if name in guide}
    )

    def measured() -> Evidence:
        nonlocal seconds
        evidence, start = known, time.perf_counter()
        if samples is not None:
            with _keeping(samples.journal, f"measuring for {importance}") as track:
                evidence = measure_evidence(
                    *(units, importance, samples.fitting, known, scope, track),
                    seed=samples.seed,
                    work=samples.journal,
                )
        if evidence.statistics is not None or evidence.gradients is not None:
            seconds = time.perf_counter() - start
        showing.enter_context(progress("choosing"))
        return evidence

    with contextlib.ExitStack() as showing:
        asked = {**guide, "importance": importance, "scope": scope}
        choose(units, **asked, evidence=measured)
    return importance, seconds


def recover(
    units: Units, pruned: Graph, samples: Samples, chosen: tuple[str, float] | None
) -> tuple[Graph, CalibrationReport]:
    """Fit a pruned model to the samples, and compare it with the original on those held out.

    Args:
        units: The units of the original, with their choices.
        pruned: The pruned model.
        samples: The inputs, and the method.
        chosen: By what the choices were made, as `choose_by` tells; None if a file tells them.

    Returns:
        The model, fitted unless the method is ``none``, and the report.
    """
    from onnxprune.api import refit_weights
    from onnxprune.report import CalibrationReport, refit_report

    small, fitted = pruned, None
    if samples.method != "none":
        start = time.perf_counter()
        with _keeping(samples.journal, f"fitting weights, {samples.method}") as track:
            found = refit_weights(
                *(units, pruned, samples.fitting),
                method=samples.method,
                track=track,
                work=samples.journal,
                seed=samples.seed,
            )
        small = found.graph
        fitted = refit_report(samples.method, found, time.perf_counter() - start)
    importance, seconds = chosen or (None, 0.0)
    with progress("comparing with the original"):
        held_out = _compared(units, pruned, None if fitted is None else small, samples.held)
    return small, CalibrationReport(
        data=samples.every.origin,
        natural=samples.every.natural,
        samples=samples.every.samples,
        seed=samples.seed,
        importance=importance,
        seconds=round(seconds, 3),
        refit=fitted,
        held_out=held_out,
    )


def merged(
    units: Units, pruned: Graph, chosen: tuple[str, float] | None
) -> tuple[Graph, CalibrationReport]:
    """Fit a pruned model by the weights alone.

    Args:
        units: The units of the original, with their choices.
        pruned: The pruned model.
        chosen: By what the choices were made, as `choose_by` tells; None if a file tells them.
    """
    from onnxprune.api import refit_weights
    from onnxprune.report import CalibrationReport, HeldOutReport, refit_report

    start = time.perf_counter()
    with tracking("fitting weights, merge") as track:
        found = refit_weights(units, pruned, None, method="merge", track=track)
    return found.graph, CalibrationReport(
        data="none, the weights alone",
        natural=True,
        samples=0,
        seed=0,
        importance=None if chosen is None else chosen[0],
        seconds=0.0,
        refit=refit_report("merge", found, time.perf_counter() - start),
        held_out=HeldOutReport(0, note="there are no inputs"),
    )


@contextlib.contextmanager
def _keeping(
    journal: Journal | None, message: str
) -> Iterator[Callable[[Sequence[Any]], Iterable[Any]]]:
    """Show how far a sequence is, as `tracking`; then what of its results was known."""
    taken, added = (0, 0) if journal is None else (journal.taken, journal.added)
    with tracking(message) as track:
        yield track
    if journal is not None and journal.taken > taken and sys.stderr.isatty():
        known, total = journal.taken - taken, journal.taken + journal.added - taken - added
        told = f"{message}: {known} of {total} results taken from {journal.folder}"
        print(plain(told), file=sys.stderr)


def _compared(
    units: Units, pruned: Graph, refitted: Graph | None, held: Dataset | None
) -> HeldOutReport:
    """How near both models are to the original on samples that were held out."""
    from onnxprune.evaluation import evaluate
    from onnxprune.report import HeldOutReport, held_out_report

    if held is None:
        return HeldOutReport(0, note="there are too few samples to hold any out")
    try:
        before, after = (
            None if model is None else evaluate(model, held, against=units.graph)
            for model in (pruned, refitted)
        )
    except OnnxPruneError as error:  # answers of any form can be verified, but not compared so
        return HeldOutReport(held.samples, note=str(error))
    assert before is not None
    return held_out_report(held, before, after)
