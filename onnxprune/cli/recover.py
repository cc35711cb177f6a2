"""What ``onnxprune prune`` does with calibration inputs: measure, fit, and look what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.calibration import DataOptions
from onnxprune.cli.shared import progress, tracking
from onnxprune.errors import OnnxPruneError

if TYPE_CHECKING:
    from onnxprune.calibration import Dataset
    from onnxprune.graph import Graph
    from onnxprune.report import CalibrationReport, HeldOutReport
    from onnxprune.units import Units

__all__ = ["Samples", "choose_by", "read_samples", "recover", "refit_option"]

refit_option = click.option(
    "--refit",
    "method",
    metavar="METHOD",
    help="Fit weights anew to the inputs: sequential, one-shot, channel, mean, affine or none. "
    "sequential by default, one-shot with noise, none without --calibration.",
)


@dataclass(frozen=True, slots=True)
class Samples:
    """Calibration inputs in two parts.

    Attributes:
        every: All of them.
        fitting: Those that are measured and fitted with.
        held: Those that are only looked at afterwards, None if there are too few for any.
        seed: Of the draw, and of the fit.
        method: How to refit, ``none`` for not at all.
    """

    every: Dataset
    fitting: Dataset
    held: Dataset | None
    seed: int
    method: str


def read_samples(data: DataOptions | None, graph: Graph, method: str | None) -> Samples | None:
    """Read what was asked for, None where nothing was.

    Args:
        data: What was said of the data.
        graph: The original.
        method: How to refit, as it was asked for.

    Raises:
        OnnxPruneError: If there is no such method, or the data do not fit the graph.
        UsageError: If something is to be fitted without data.
    """
    from onnxprune.api import defaults
    from onnxprune.refit import METHODS

    if method not in (None, "none"):
        METHODS.get(str(method))
    if data is None:
        if method not in (None, "none"):
            raise click.UsageError(
                "--refit needs inputs to fit weights to; give --calibration, which may be noise."
            )
        return None
    every = data.dataset(graph)
    return Samples(every, *every.split(), data.seed, method or defaults(every).refit)


def choose_by(units: Units, guide: dict[str, Any], samples: Samples | None) -> tuple[str, float]:
    """Choose what units keep; by which importance, and how many seconds it was measured.

    Args:
        units: The units, whose choices are set.
        guide: The arguments of `choose` that were asked for.
        samples: Inputs to measure with.
    """
    from onnxprune.api import choose, default_scope, defaults, measure_evidence

    every = None if samples is None else samples.every
    importance = guide.get("importance") or defaults(every).importance
    scope = guide.get("scope") or default_scope(every, importance, guide["budget"])
    evidence, start = None, time.perf_counter()
    if samples is not None:
        with tracking(f"measuring for {importance}") as track:
            evidence = measure_evidence(
                units, importance, samples.fitting, scope=scope, track=track
            )
    seconds = time.perf_counter() - start
    with progress("choosing"):
        choose(units, **{**guide, "importance": importance, "scope": scope, "evidence": evidence})
    measured = evidence is not None and bool(evidence.statistics or evidence.gradients)
    return importance, seconds if measured else 0.0


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
        with tracking(f"fitting weights, {samples.method}") as track:
            found = refit_weights(
                *(units, pruned, samples.fitting),
                method=samples.method,
                track=track,
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
