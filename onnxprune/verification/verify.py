"""A pruned model is a claim, and this is where it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError, VerificationFailed
from onnxprune.graph import Graph, as_given
from onnxprune.ops.stored import rounds
from onnxprune.refit.embed import embedded, refitted
from onnxprune.runtime.feeds import Feeds, find_feeds
from onnxprune.runtime.session import RuntimeRefusal, first_line, open_session
from onnxprune.units import Units
from onnxprune.verification.border import Border
from onnxprune.verification.compare import (
    STRICT,
    Difference,
    Tolerance,
    compare,
    differences,
    rounding_of,
    tolerance_of,
)
from onnxprune.verification.noise import still
from onnxprune.verification.references import (
    ARBITERS,
    REFERENCES,
    Answerer,
    CannotAnswer,
    Outputs,
    Removed,
    removed_slices,
    why_inexact,
)
from onnxprune.verification.structure import describe, signature_problems

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Verdict", "Verifier", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a pruned model.

    Attributes:
        passed: Whether the claim holds.
        problems: Why it does not, one sentence each.
        max_error: The largest |pruned - reference| of any output element, None if none was run.
        reference: What it was compared with.
        notes: What the comparison could not show.
        allowed: How far the answers may be from the reference.
    """

    passed: bool
    problems: list[str] = field(default_factory=list)
    max_error: float | None = None
    reference: str = ""
    notes: list[str] = field(default_factory=list)
    allowed: Tolerance = STRICT

    @property
    def tolerance(self) -> str:
        """The tolerance, in words."""
        return str(self.allowed)

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
    the reference does. Where float32 rounding alone may have exceeded the tolerance, the same
    comparison in float64 decides (torch extra). References: ``zero-masking`` (the original with
    removed slices set to zero, in onnxruntime; exact unless a statistic or a product of
    activations runs over removed channels), ``torch`` (the original with removed slices missing;
    always exact, needs the torch extra), ``auto`` (zero-masking where it is exact, else torch).

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
    return Verifier(units, feeds).verify(pruned, reference, file)


@dataclass(frozen=True, slots=True)
class Twin:
    """The original at its full size, with the weights to compare with, and what is removed."""

    graph: Graph
    removed: Removed


@dataclass(frozen=True, slots=True)
class _Found:
    """The answers of a pruned graph beside those of a reference."""

    reference: str
    answers: list[Outputs]
    wanted: list[Outputs]
    twin: Twin
    inexact: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def difference(self) -> Difference:
        """How far they are apart."""
        return differences(self.answers, self.wanted)

    @property
    def told(self) -> list[str]:
        """What the comparison could not show."""
        return [*self.notes, *(self.inexact if self.reference == "zero-masking" else [])]

    def within(self, tolerance: Tolerance) -> bool:
        """Whether they are no farther apart than a tolerance allows."""
        return differences(self.answers, self.wanted, tolerance).agrees


class Verifier:
    """Checks any number of prunings of one original; what they share is computed once.

    Args:
        units: The units of the original.
        feeds: Inputs; random ones of two seeds if None.

    Raises:
        OnnxPruneError: If the original does not run.
        MissingExtra: If onnxruntime is not installed.
    """

    def __init__(self, units: Units, feeds: Feeds | None = None) -> None:
        self.units = units
        self.graph = units.graph
        self.names = [value.name or "" for value in units.graph.outputs]
        self.tolerance = _tolerance(self.graph)
        self.rounding = rounding_of(self.tolerance, any(map(rounds, self.graph.nodes)))
        self._still = still(self.graph)
        try:
            session = open_session(self._still)
        except RuntimeRefusal as refusal:
            raise OnnxPruneError(
                f"{self.graph.source}: onnxruntime does not load the original ({refusal}), so "
                f"nothing can be verified; repair the model, or do without (--no-verify)."
            ) from None
        self.runs = [feeds] if feeds is not None else find_feeds(self.graph, session)
        self.problems = self._original_problems(session)
        self._answerers: dict[str, Answerer] = {}

    def verify(self, pruned: Graph, reference: str = "auto", file: Path | None = None) -> Verdict:
        """Check one pruned graph against the units' current choices; see `verify`."""
        problems = [*self.problems, *signature_problems(self.graph, pruned, self.units.cut())]
        warnings: list[str] = []
        ran: Graph | Path = file or pruned
        try:
            session = open_session(ran, warnings=warnings)
        except RuntimeRefusal as refusal:
            return Verdict(False, [*problems, f"onnxruntime refuses it: {refusal}"])
        problems += [f"onnxruntime warns: {warning}" for warning in warnings]
        try:
            if self._draws:
                session = open_session(ran := still(pruned))
            answers = self._pruned(session)
        except Exception as error:
            return Verdict(False, [*problems, f"onnxruntime cannot run it: {first_line(error)}"])
        try:
            twin = self._twin(pruned)
            found = self._closest(answers, twin, reference, lambda: self._as_written(ran))
            return self._judge(pruned, found, problems)
        except VerificationFailed as failure:
            return Verdict(False, [*problems, str(failure)])

    def _twin(self, pruned: Graph) -> Twin:
        """What a smaller model is compared with: the original, with the weights it was given."""
        removed = removed_slices(self.units)
        if not refitted(self.graph, pruned):
            return Twin(self._still, removed)
        graph, added = embedded(self.units, self._still, pruned)
        gone = {
            name: removed.get(of, {}) if isinstance(of, str) else {0: of}
            for name, of in added.items()
        }
        return Twin(graph, {**removed, **gone})

    def _closest(
        self,
        answers: list[Outputs],
        twin: Twin,
        reference: str,
        as_written: Callable[[], list[Outputs]],
    ) -> _Found:
        """Compare with references until one agrees; the one that is closest."""
        border = Border(self.units)
        inexact = list(dict.fromkeys(why_inexact(self.units)))
        closest: _Found | None = None
        for tried in _order(reference, bool(inexact)):
            try:
                answer = self._answerer(tried, twin.graph)
                wanted = [border.given(answer(run, twin.removed)) for run in self.runs]
            except CannotAnswer as cannot:
                if reference == tried:
                    raise
                inexact.append(str(cannot))
                continue
            found = _Found(tried, answers, wanted, twin, inexact)
            if not found.difference.agrees and tried == "torch" and self._has_groups:
                found = replace(found, answers=as_written())
                found.notes.append(
                    f"QuantizeLinear and DequantizeLinear are computed as they stand; fused, as "
                    f"onnxruntime runs them, answers are up to "
                    f"{differences(answers, wanted).error:.2g} from the reference"
                )
            if closest is None or found.difference.excess <= closest.difference.excess:
                closest = found
            if found.difference.agrees:
                break
        if closest is None:
            raise CannotAnswer(
                f"{self.graph.source}: nothing can tell what is right: {inexact[-1]}"
            )
        return closest

    def _judge(self, pruned: Graph, closest: _Found, problems: list[str]) -> Verdict:
        """Whether answers agree with the closest reference; where rounding decides, in float64."""
        found, name, notes = closest.difference, closest.reference, closest.told
        if any(node.op_type == "If" for node in self.graph.nodes):
            notes = [*notes, "of an If, only the branch that these inputs take was compared"]
        if count := len(refitted(self.graph, pruned)):
            notes = [*notes, f"{count} of its weights are refitted; the original holds the same"]
        allowed = STRICT
        if found.excess > 1 and closest.within(self.rounding):
            exact = self._in_float64(pruned, closest.twin)
            if exact is not None:
                notes = [
                    f"in float32 the largest difference is {found.excess:.3g} times the tolerance, "
                    f"in float64 it is {exact.error:.2g}",
                    *notes,
                ]
                found = Difference(found.error, exact.excess, found.varied)
            elif closest.within(self.tolerance):
                allowed = self.tolerance
                found = differences(closest.answers, closest.wanted, allowed)
        if not found.agrees:
            text = f"its answers differ from {name} by up to {found.error:.3g}"
            why = closest.inexact if name == "zero-masking" else []
            hint = f", where {name} is not exact: {why[0]}" if why else ""
            problems = [*problems, f"{text}, {found.excess:.3g} times the tolerance{hint}"]
        elif not found.varied:
            notes = [*notes, "without the removed channels the outputs do not vary"]
        return Verdict(not problems, problems, found.error, name, notes, allowed)

    @property
    def _has_groups(self) -> bool:
        """Whether onnxruntime fuses operators with what dequantises and quantises around them."""
        return any(node.op_type == "DequantizeLinear" for node in self.graph.nodes)

    def _as_written(self, pruned: Graph | Path) -> list[Outputs]:
        return self._pruned(open_session(pruned, as_written=True))

    def _pruned(self, session: onnxruntime.InferenceSession) -> list[Outputs]:
        """What the pruned graph answers to what is left of the inputs."""
        border = Border(self.units)
        return [self._run(session, border.fed(run)) for run in self.runs]

    def _answerer(self, name: str, graph: Graph) -> Answerer:
        if graph is not self._still:
            return REFERENCES.get(name)(graph)
        if name not in self._answerers:
            self._answerers[name] = REFERENCES.get(name)(graph)
        return self._answerers[name]

    def _original_problems(self, session: onnxruntime.InferenceSession) -> list[str]:
        """Whether anything can be shown, and whether the graph answers as its file does."""
        try:
            answers = [self._run(session, run) for run in self.runs]
        except Exception as error:
            inputs = [describe(self.graph, value) for value in self.graph.inputs]
            raise OnnxPruneError(
                f"{self.graph.source}: it does not run with these feeds: {first_line(error)}; "
                f"it takes {', '.join(inputs)}."
            ) from None
        if not differences(answers, answers).varied:
            return [
                "the original's outputs do not vary, so nothing can be shown; give feeds (--feeds)"
            ]
        try:
            given = as_given(self.graph.source)
            original = None if given is None else open_session(self._as_given(given))
        except RuntimeRefusal:
            return []  # the graph is what runs here; normalising it made it loadable
        if original is None:
            return []
        found = compare(answers[0], self._run(original, self.runs[0]), self.rounding)
        if found.agrees:
            return []
        return [f"the graph as it was read differs from its source by up to {found.error:.3g}"]

    @property
    def _draws(self) -> bool:
        """Whether the graph draws random numbers; all that run draw them from one sequence then."""
        return self._still is not self.graph

    def _as_given(self, given: Path | onnx.ModelProto | ir.Model) -> Graph | Path | onnx.ModelProto:
        """The original as its file has it, or as it was given."""
        if isinstance(given, ir.Model):
            return still(Graph(given, self.graph.source, {}, {}))
        if not self._draws:
            return given
        model = ir.load(given) if isinstance(given, Path) else ir.from_proto(given)
        return still(Graph(model, self.graph.source, {}, {}))

    def _run(self, session: onnxruntime.InferenceSession, feeds: Feeds) -> Outputs:
        return dict(zip(self.names, session.run(self.names, feeds), strict=True))

    def _in_float64(self, pruned: Graph, twin: Twin) -> Difference | None:
        """The same comparison where rounding plays no part; None without the torch extra."""
        REFERENCES.find("torch")  # importing it registers the arbiter too
        arbiter = ARBITERS.find("torch")
        if arbiter is None:
            return None
        try:
            arbitrate = arbiter(twin.graph, twin.removed, still(pruned))
            pairs = [arbitrate(run) for run in self.runs]
        except CannotAnswer:
            return None
        return differences([a for a, _ in pairs], [r for _, r in pairs])


def _order(reference: str, inexact: bool) -> Iterator[str]:
    """The references to compare with, in turn; torch is imported when it is its turn."""
    if reference != "auto":
        yield reference
        return
    if not inexact:
        yield "zero-masking"
    if REFERENCES.find("torch") is not None:
        yield "torch"
    if inexact:
        yield "zero-masking"


def _tolerance(graph: Graph) -> Tolerance:
    """The tolerance of the narrowest floating point type that a graph computes in."""
    values = (*graph.inputs, *graph.outputs, *graph.initializers.values())
    narrow = {value.dtype for value in values} & {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
    tolerances = (tolerance_of(dtype) for dtype in narrow if dtype is not None)
    return max(tolerances, key=lambda tolerance: tolerance.relative, default=STRICT)
