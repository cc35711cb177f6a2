"""A pruned model is a claim, and this is where it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onnxprune.errors import OnnxPruneError, VerificationFailed
from onnxprune.graph import Graph
from onnxprune.rewrite import plan
from onnxprune.units import Units
from onnxprune.verification.compare import ABSOLUTE, RELATIVE, Difference, compare
from onnxprune.verification.feeds import Feeds, find_feeds
from onnxprune.verification.references import (
    REFERENCES,
    CannotAnswer,
    Outputs,
    Removed,
    why_inexact,
)
from onnxprune.verification.runtime import RuntimeRefusal, open_session
from onnxprune.verification.structure import signature_problems

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a pruned model.

    Attributes:
        passed: Whether the claim holds.
        problems: Why it does not, one sentence each.
        max_error: The largest |pruned - reference| of any output element, None if none was run.
        reference: What it was compared with.
        notes: What the comparison could not show.
    """

    passed: bool
    problems: list[str] = field(default_factory=list)
    max_error: float | None = None
    reference: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def tolerance(self) -> str:
        """The tolerance, in words."""
        return f"|difference| <= {ABSOLUTE:g} + {RELATIVE:g} * |reference|"

    def check(self) -> None:
        """Raise if the claim does not hold.

        Raises:
            VerificationFailed: With the problems.
        """
        if not self.passed:
            raise VerificationFailed(f"The pruned model is not proven: {'; '.join(self.problems)}.")


def verify(
    units: Units,
    pruned: Graph,
    feeds: Feeds | None = None,
    reference: str = "auto",
    file: Path | None = None,
) -> Verdict:
    """Check a pruned graph against the original and the units' current choices.

    It must load in onnxruntime without a warning, have the same inputs and outputs, and answer as
    the reference does. References: ``zero-masking`` (the original with removed slices set to zero,
    in onnxruntime; exact unless a statistic or a product of activations runs over removed
    channels), ``torch`` (the original with removed slices missing; always exact, needs the torch
    extra), ``auto`` (zero-masking where it is exact, else torch).

    Args:
        units: The units of the original, with the choices that were made.
        pruned: The pruned graph.
        feeds: Inputs; random ones of two seeds if None.
        reference: Which reference to compare with.
        file: The pruned model's file, which is then what runs; None runs the graph.

    Returns:
        The verdict.

    Raises:
        OnnxPruneError: If the original itself does not run, or there is no such reference.
        MissingExtra: If onnxruntime, or the torch that was asked for, is not installed.
    """
    problems = signature_problems(units.graph, pruned)
    warnings: list[str] = []
    try:
        small = open_session(file or pruned, warnings=warnings)
    except RuntimeRefusal as refusal:
        return Verdict(False, [*problems, f"onnxruntime refuses it: {refusal}"])
    problems += [f"onnxruntime warns: {warning}" for warning in warnings]
    runs = [feeds] if feeds is not None else _feeds(units.graph)
    names = [value.name or "" for value in units.graph.outputs]
    try:
        answers = [dict(zip(names, small.run(names, run), strict=True)) for run in runs]
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        return Verdict(False, [*problems, f"onnxruntime cannot run it: {reason}"])
    try:
        return _judge(problems, answers, *_refer(units, reference, runs))
    except VerificationFailed as failure:
        return Verdict(False, [*problems, str(failure)])


def _refer(units: Units, reference: str, runs: list[Feeds]) -> tuple[list[Outputs], str, list[str]]:
    """What the reference answers, its name, and what it cannot show."""
    removed = _removed(units)
    inexact = list(dict.fromkeys(why_inexact(units)))
    if reference == "torch" or (reference == "auto" and inexact and REFERENCES.find("torch")):
        try:
            answer = REFERENCES.get("torch")(units.graph, removed)
            return [answer(run) for run in runs], "torch", []
        except CannotAnswer as cannot:
            if reference == "torch":
                raise
            inexact.insert(0, str(cannot))
    chosen = "zero-masking" if reference == "auto" else reference
    answer = REFERENCES.get(chosen)(units.graph, removed)
    return [answer(run) for run in runs], chosen, inexact


def _judge(
    problems: list[str],
    answers: list[Outputs],
    references: list[Outputs],
    reference: str,
    notes: list[str],
) -> Verdict:
    found = Difference(0.0, 0.0, False)
    for given, wanted in zip(answers, references, strict=True):
        found |= compare(given, wanted)
    problems = list(problems)
    if not found.agrees:
        problems.append(
            f"its answers differ from {reference} by up to {found.error:.3g}, "
            f"{found.excess:.3g} times the tolerance"
            + (f", but {notes[0]}, where {reference} is not exact" if notes else "")
        )
    elif not found.finite:
        problems.append("the outputs do not vary, so the comparison shows nothing; give feeds")
    return Verdict(not problems, problems, found.error, reference, notes)


def _feeds(graph: Graph) -> list[Feeds]:
    try:
        session = open_session(graph)
    except RuntimeRefusal as refusal:
        raise OnnxPruneError(
            f"{graph.source}: onnxruntime does not load the original: {refusal}."
        ) from None
    return find_feeds(graph, session)


def _removed(units: Units) -> Removed:
    removed = {}
    for name, axes in plan(units).slices.items():
        shape = units.graph.shape(units.graph.initializers[name]) or ()
        removed[name] = {
            axis: np.setdiff1d(np.arange(shape[axis].size), kept) for axis, kept in axes.items()
        }
    return removed
