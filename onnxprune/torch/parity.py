"""Parity: one choice, answered by torch and onnxruntime, masked and pruned.

Four answers are compared: the module with dynamic operators in torch (*dynamic*); its exported
graph interpreted in torch with the removed slices missing (*interpreted*, the reference: exact, and
it knows neither the dynamic operators nor the rewriter); the same graph in onnxruntime with the
removed slices zero (*masked*); and the smaller graph in onnxruntime (*pruned*).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from onnxprune.choice import Choices, as_choices, refill, sample
from onnxprune.errors import VerificationFailed
from onnxprune.graph import Graph
from onnxprune.rewrite import prune
from onnxprune.runtime.session import RuntimeRefusal, first_line, open_session
from onnxprune.torch.bisect import Checker, bisect
from onnxprune.torch.double import in_double
from onnxprune.torch.errors import LeakError
from onnxprune.torch.export import Exporter
from onnxprune.torch.following import follow
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.running import answer, feeds_of
from onnxprune.torch.trace import example_of, trace
from onnxprune.torch.twin import masked_twin
from onnxprune.units import Units, find_units
from onnxprune.verification.compare import ROUNDING, compare
from onnxprune.verification.parity import ChoiceParity, Comparison, ParityReport
from onnxprune.verification.references import Removed, removed_slices, why_inexact, zero_masked
from onnxprune.verification.structure import signature_problems

__all__ = ["Parity", "assert_parity", "parity", "series"]

Outputs = Mapping[str, np.ndarray]


def parity(
    module: nn.Module,
    example: Any = None,
    choices: int | Sequence[Choices | Mapping[str, Any]] = 6,
    exporter: Exporter = "dynamo",
    units: Units | None = None,
) -> ParityReport:
    """Compare all four answers of a torch module at any choices.

    Args:
        module: The module; it is not changed.
        example: The inputs of ``forward``, or the sizes of one; None tries an image.
        choices: Choices to compare at (`Choices`, or unit -> count, ratio, mask, indices); or how
            many of `series`.
        exporter: Which of torch's exporters writes the graph.
        units: The units of `trace(module, example, exporter)`, to keep the kinds they have.

    Returns:
        The report; where it fails, with the first tensor that differs and the smallest set of
        units that still fails.

    Raises:
        OnnxPruneError: If the module cannot be exported, or the choices do not fit it.
    """
    checked = Parity(module, example, exporter, units)
    trials = series(checked.units, choices) if isinstance(choices, int) else _given(choices)
    results = [checked.check(name, choose) for name, choose in trials]
    masked = [unit.name for unit in checked.units.mutable if unit.mutable_channel.masked]
    name = type(module).__name__
    return ParityReport(name, exporter, len(checked.units.mutable), masked, results)


def assert_parity(
    module: nn.Module,
    example: Any = None,
    choices: int | Sequence[Choices | Mapping[str, Any]] = 6,
    exporter: Exporter = "dynamo",
    units: Units | None = None,
) -> None:
    """Fail a test unless all four answers agree; arguments as for `parity`.

    Raises:
        AssertionError: With the table, the first tensor that differs and the units at fault.
    """
    report = parity(module, example, choices, exporter, units)
    if not report.passed:
        raise AssertionError(str(report))


Choose = Callable[[Units], object]


def series(units: Units, count: int) -> Iterator[tuple[str, Choose]]:
    """Choices that try everything: all, one channel of a unit, halves, random masks.

    Args:
        units: The units.
        count: How many.

    Yields:
        A name, and what sets the choice.
    """

    def own_order(units: Units) -> None:
        units.reset()
        for unit in units.mutable:
            unit.set_mask(unit.mask_of(unit.sample_choice(1)))
        refill(units)

    def single(units: Units) -> None:
        """Where every unit had one channel left, little would be left to be seen."""
        sample(units, 0, (0.0, 0.0), units.mutable[::4])

    fixed: list[tuple[str, Choose]] = [
        ("all channels", lambda units: units.reset()),
        ("one channel of every fourth unit", single),
        ("half, at random", lambda units: sample(units, 1, (0.5, 0.5))),
        ("sampled counts, the units' own order", own_order),
        ("all but a few", lambda units: sample(units, 2, (0.8, 1.0))),
    ]
    yield from fixed[:count]
    for seed in range(count - len(fixed)):
        low, high = ((0.3, 1.0), (0.0, 1.0), (0.2, 0.6))[seed % 3]
        yield f"random {seed}", _sampler(seed + 10, low, high)


def _sampler(seed: int, low: float, high: float) -> Choose:
    return lambda units: sample(units, seed, (low, high))


def _given(
    choices: Sequence[Choices | Mapping[str, Any]],
) -> Iterator[tuple[str, Choose]]:
    for number, given in enumerate(choices):
        yield f"choice {number}", as_choices(given).apply


class Parity:
    """A module, its graph, and everything that can answer for them.

    Args:
        module: The module; a copy of it is prepared.
        example: The inputs of ``forward``, or the sizes of one; None tries an image.
        exporter: Which of torch's exporters writes the graph.
        units: The units of `trace(module, example, exporter)`, found if None.

    Raises:
        OnnxPruneError: If the module cannot be exported, or does not answer as its export.
    """

    def __init__(
        self,
        module: nn.Module,
        example: Any = None,
        exporter: Exporter = "dynamo",
        units: Units | None = None,
    ) -> None:
        self.example = example_of(example)
        self.module = copy.deepcopy(module).eval()
        if units is None:
            units = find_units(trace(self.module, self.example, exporter))
        self.units = units
        self.graph = units.graph
        self.feeds = dict(feeds_of(self.example, self.graph))
        self.twin = Interpreter(self.graph.model)
        self.whole = masked_twin(self.twin, self.feeds, {})
        with contextlib.suppress(LeakError, VerificationFailed):  # every choice will tell
            follow(units, self.module, self.example)

    def check(self, name: str, choose: Choose) -> ChoiceParity:
        """All answers at one choice; where they part, why."""
        choose(self.units)
        answers, problem = self._answers()
        failure = None
        if problem is not None or any(a.agrees is False for a in answers.values()):
            failure = bisect(self.units, self._checker(answers), self.feeds, problem)
        mutable = self.units.mutable
        kept = sum(int(unit.mask.sum()) for unit in mutable)
        channels = sum(unit.num_channels for unit in mutable)
        return ChoiceParity(name, kept, channels, self._effect(), answers, failure)

    def _effect(self) -> float:
        try:
            chosen = masked_twin(self.twin, self.feeds, removed_slices(self.units))
        except LeakError:
            return float("nan")
        return compare(chosen, self.whole).error

    def _checker(self, answers: Mapping[str, Comparison]) -> Checker:
        """Whether the current choice fails where this one did."""
        wrong = [name for name, found in answers.items() if found.agrees is False]

        def fails() -> bool:
            found, problem = self._answers(wrong or None)
            return problem is not None or any(a.agrees is False for a in found.values())

        return fails

    def _answers(
        self, only: Sequence[str] | None = None
    ) -> tuple[dict[str, Comparison], LeakError | None]:
        removed = removed_slices(self.units)
        try:
            reference = masked_twin(self.twin, self.feeds, removed)
        except LeakError as leak:  # what is removed is inconsistent: a rule is wrong
            return {}, leak
        answers: dict[str, Callable[[], Comparison]] = {
            "dynamic": lambda: self._dynamic(reference, removed),
            "masked": lambda: self._masked(reference, removed),
            "pruned": lambda: self._pruned(reference, removed),
        }
        return {name: answers[name]() for name in only or answers}, None

    def _dynamic(self, reference: Outputs, removed: Removed) -> Comparison:
        try:
            found = answer(self.module, self.example, self.graph)
        except Exception as error:  # whatever a forward raises
            return Comparison(None, None, False, f"{type(error).__name__}: {first_line(error)}")

        def wide() -> Outputs:
            module = copy.deepcopy(self.module).double()
            return answer(module, _double(self.example), self.graph)

        return self._compared(found, reference, removed, wide)

    def _masked(self, reference: Outputs, removed: Removed) -> Comparison:
        masked = zero_masked(self.graph, removed)
        found = self._run(masked)
        if isinstance(found, Comparison):
            return found
        inexact = next(iter(why_inexact(self.units)), None)
        if inexact is not None:
            difference = compare(found, reference)
            note = f"not exact, so not judged: {inexact}"
            return Comparison(difference.error, difference.excess, None, note)
        return self._compared(found, reference, removed, lambda: self._in_double(masked))

    def _pruned(self, reference: Outputs, removed: Removed) -> Comparison:
        pruned = prune(self.units)
        problems = signature_problems(self.graph, pruned)
        if problems:
            return Comparison(None, None, False, problems[0])
        found = self._run(pruned)
        if isinstance(found, Comparison):
            return found
        return self._compared(found, reference, removed, lambda: self._in_double(pruned))

    def _run(self, graph: Graph) -> Outputs | Comparison:
        """What onnxruntime answers; it must have nothing to warn of."""
        warnings: list[str] = []
        try:
            session = open_session(graph, warnings=warnings)
        except RuntimeRefusal as refusal:
            return Comparison(None, None, False, f"onnxruntime refuses it: {refusal}")
        if warnings:
            return Comparison(None, None, False, f"onnxruntime warns: {warnings[0]}")
        names = [str(value.name) for value in self.graph.outputs]
        try:
            return dict(zip(names, session.run(names, self.feeds), strict=True))
        except Exception as error:
            return Comparison(None, None, False, f"onnxruntime cannot run it: {first_line(error)}")

    def _compared(
        self, found: Outputs, reference: Outputs, removed: Removed, wide: Callable[[], Outputs]
    ) -> Comparison:
        difference = compare(found, reference)
        if not 1 < difference.excess <= ROUNDING:
            return Comparison(difference.error, difference.excess, difference.agrees)
        twin = Interpreter(in_double(self.graph.model))
        exact = compare(wide(), masked_twin(twin, _wide(self.feeds), removed))
        note = (
            f"in float32 {difference.excess:.3g} times the tolerance, in float64 a difference of "
            f"{exact.error:.1e}"
        )
        return Comparison(difference.error, difference.excess, exact.agrees, note)

    def _in_double(self, graph: Graph) -> Outputs:
        return masked_twin(Interpreter(in_double(graph.model)), _wide(self.feeds), {})


def _wide(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}


def _double(example: tuple[Any, ...]) -> tuple[Any, ...]:
    def widened(leaf: Any) -> Any:
        return leaf.double() if isinstance(leaf, Tensor) and leaf.dtype == torch.float32 else leaf

    return tuple(tree_map(widened, list(example)))
