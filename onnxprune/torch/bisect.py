"""Where a failing choice fails: the fewest units, and the first tensor that differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxprune.rewrite import prune
from onnxprune.torch.errors import Leak, LeakError, UnsupportedOperator
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import Masked, compress
from onnxprune.torch.tensors import to_numpy
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.verification.compare import compare
from onnxprune.verification.parity import Failure
from onnxprune.verification.references import removed_slices

__all__ = ["Checker", "bisect"]

Checker = Callable[[], bool]

Masks = dict[str, np.ndarray]


def bisect(
    units: Units,
    fails: Checker,
    feeds: Mapping[str, np.ndarray],
    problem: LeakError | None = None,
) -> Failure:
    """Reduce a failing choice to what makes it fail; the choice is set again afterwards.

    Args:
        units: The units with the choice that fails.
        fails: Whether the units' current choice fails.
        feeds: Inputs of the graph, by name.
        problem: What the interpreter found, if it did not get to the end.

    Returns:
        The smallest set of units found by halving (a set of which no half and no single unit can
        be left out), and the first tensor at which the smaller graph differs from the original
        without the removed channels.
    """
    before = {unit.name: unit.mask for unit in units.mutable}
    pruned = [unit for unit in units.mutable if not unit.mask.all()]

    def still(some: Sequence[MutableChannelUnit]) -> bool:
        _choose(units, {unit.name: before[unit.name] for unit in some})
        return not any(units.empty()) and fails()

    fewest = _fewest(pruned, still)
    _choose(units, {unit.name: before[unit.name] for unit in fewest})
    tensor, node, reason = _first_difference(units, feeds)
    _choose(units, before)
    kept = {unit.name: np.flatnonzero(before[unit.name]).tolist() for unit in fewest}
    if node is None and problem is not None:
        reason = str(problem)
    return Failure(kept, tensor, node, reason)


def _choose(units: Units, masks: Mapping[str, np.ndarray]) -> None:
    units.reset()
    for unit in units.mutable:
        if unit.name in masks:
            unit.set_mask(masks[unit.name])


def _fewest(
    units: Sequence[MutableChannelUnit], fails: Callable[[Sequence[MutableChannelUnit]], bool]
) -> Sequence[MutableChannelUnit]:
    """Delta debugging. Source: Zeller and Hildebrandt, Simplifying and Isolating
    Failure-Inducing Input, IEEE TSE 2002."""
    parts = 2
    while len(units) > 1:
        size = max(1, len(units) // parts)
        chunks = [units[i : i + size] for i in range(0, len(units), size)]
        rests = [[u for u in units if u not in chunk] for chunk in chunks]
        smaller = next((part for part in (*chunks, *rests) if part and fails(part)), None)
        if smaller is not None and len(smaller) < len(units):
            units, parts = smaller, 2
        elif size == 1:
            break
        else:
            parts = min(len(units), parts * 2)
    return units


def _first_difference(
    units: Units, feeds: Mapping[str, np.ndarray]
) -> tuple[str | None, str | None, str]:
    """The first tensor, its node, and how it differs."""
    there: dict[str, np.ndarray] = {}
    try:
        small = Interpreter(prune(units).model)
        small.observe = lambda node, results: there.update(_named(node, results))
        small.run(feeds)
    except (LeakError, UnsupportedOperator, RuntimeError, ValueError, IndexError) as error:
        stopped = str(error).splitlines()[0]
    else:
        stopped = ""
    found: list[tuple[str, str, str]] = []

    def look(node: ir.Node, results: Sequence[Masked | None]) -> None:
        for name, result in _named(node, results, found).items():
            if not found and name in there:
                found.extend(_difference(name, node, there[name], result))
            elif not found and stopped:
                found.append((name, _told(node), f"the smaller graph stops here: {stopped}"))

    twin = Interpreter(units.graph.model)
    twin.observe = look
    try:
        twin.run(feeds, removed_slices(units))
    except LeakError as leak:
        return found[0] if found else (None, str(leak).partition(":")[0], str(leak))
    return found[0] if found else (None, None, "the smaller graph computes the same throughout")


def _difference(
    name: str, node: ir.Node, small: np.ndarray, twin: np.ndarray
) -> list[tuple[str, str, str]]:
    if small.shape != twin.shape:
        return [(name, _told(node), f"shape {list(small.shape)} instead of {list(twin.shape)}")]
    difference = compare({name: small}, {name: twin})
    if difference.agrees:
        return []
    return [(name, _told(node), f"{difference.excess:.3g} times the tolerance")]


def _told(node: ir.Node) -> str:
    return f"{node.op_type} '{node.name}'"


def _named(
    node: ir.Node,
    results: Sequence[Masked | None],
    found: list[tuple[str, str, str]] | None = None,
) -> dict[str, np.ndarray]:
    """The results of a node, without missing entries, by name; sizes may well differ, so only
    those that are not integers."""
    named = {}
    for value, result in zip(node.outputs, results, strict=False):
        if isinstance(result, Masked) and value.name and result.value.is_floating_point():
            try:
                named[value.name] = to_numpy(compress(result))
            except Leak as leak:
                if found is not None and not found:
                    found.append((value.name, _told(node), leak.detail))
    return named
