"""What calibration did to a pruning: what was measured, fitted, and what came of it."""

from __future__ import annotations

from collections import Counter

import msgspec

from onnxprune.calibration import Calibration
from onnxprune.evaluation import Evaluation
from onnxprune.refit import Refit
from onnxprune.report.evaluation import FidelityReport, fidelity_report

__all__ = [
    "CalibrationReport",
    "HeldOutReport",
    "RefitReport",
    "calibration_lines",
    "held_out_report",
    "refit_report",
]


class RefitReport(msgspec.Struct, frozen=True):
    """What was fitted anew.

    Attributes:
        method: How, of `onnxprune.refit.METHODS`.
        samples: How many samples it was fitted to.
        fitted: How many nodes were given fitted weights.
        left: Node -> why its weight stayed as it was sliced.
        seconds: How long it took.
    """

    method: str
    samples: int
    fitted: int
    left: dict[str, str]
    seconds: float


class HeldOutReport(msgspec.Struct, frozen=True):
    """How near the answers are to the original's, on samples that nothing was fitted to.

    Attributes:
        samples: How many.
        pruned: Of the pruned model without refit, None where it could not be compared.
        refitted: Of the same with refit, None without one.
        note: Why nothing was compared, None where it was.
    """

    samples: int
    pruned: FidelityReport | None = None
    refitted: FidelityReport | None = None
    note: str | None = None


class CalibrationReport(msgspec.Struct, frozen=True):
    """What was done with inputs.

    Attributes:
        data: What they are.
        natural: Whether they are what the model was made for, and not noise.
        samples: How many there are, those held out too.
        seed: Of the draw of samples, and of the rows that are measured and fitted.
        importance: What channels were worth, None where a file said what to keep.
        seconds: How long it took to measure that.
        refit: What was fitted, None for nothing.
        held_out: What came of it.
    """

    data: str
    natural: bool
    samples: int
    seed: int
    importance: str | None
    seconds: float
    refit: RefitReport | None
    held_out: HeldOutReport


def refit_report(method: str, found: Refit, seconds: float) -> RefitReport:
    """A refit as data.

    Args:
        method: How it was done.
        found: What was done.
        seconds: How long it took.
    """
    return RefitReport(method, found.samples, len(found.fitted), found.left, round(seconds, 3))


def held_out_report(
    held: Calibration, pruned: Evaluation, refitted: Evaluation | None
) -> HeldOutReport:
    """What came of a pruning, as data.

    Args:
        held: The samples that were held out.
        pruned: How the model answers without refit, against the original.
        refitted: How it answers with refit, None without one.
    """
    before, after = (
        None
        if found is None or found.fidelity is None
        else fidelity_report(found.fidelity, "the original")
        for found in (pruned, refitted)
    )
    return HeldOutReport(held.samples, before, after)


def calibration_lines(report: CalibrationReport) -> list[str]:
    """The same for a terminal, a line each."""
    told = f", seed {report.seed}"
    held, seed = report.held_out, "" if told in report.data else told
    told = f"{report.data}{seed}; {held.samples:,} of these are held out"
    lines = [f"calibration {told if report.samples else report.data}"]
    if report.importance is not None:
        took = f", measured in {report.seconds:.1f} s" if report.seconds else ", of the weights"
        lines.append(f"importance  {report.importance}{took}")
    lines.append(f"refit       {'none' if report.refit is None else _refit(report.refit)}")
    lines.append(f"held out    {_held_out(held)}")
    if not report.natural:
        lines.append("            on noise, which says little of what the model was made for")
    return lines


def _refit(report: RefitReport) -> str:
    said = f"{report.method}, weights of {report.fitted:,} nodes in {report.seconds:.1f} s"
    reasons = Counter(report.left.values()).most_common()
    told = ", ".join(f"{count:,} because {reason}" for reason, count in reasons)
    return f"{said}; {len(report.left):,} stay as sliced{', ' if told else ''}{told}"


def _held_out(report: HeldOutReport) -> str:
    if report.pruned is None:
        return f"nothing was compared: {report.note}"
    names = {"agreement": ".1%", "cosine": ".4f", "kl": ".3g"}
    said = []
    for name, form in names.items():
        told = [
            "-" if (value := getattr(found, name)) is None else format(value, form)
            for found in (report.pruned, report.refitted)
            if found is not None
        ]
        if set(told) != {"-"}:
            said.append(f"{'KL' if name == 'kl' else name} {' -> '.join(told)}")
    if not said:
        return "nothing was compared: the answers are not finite"
    return ", ".join(said) + (" by the refit" if report.refitted is not None else "")
