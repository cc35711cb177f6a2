"""Where a failing choice fails: the fewest units, and the first tensor that differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxprune.axes.cut import Cut
from onnxprune.errors import OnnxPruneError
from onnxprune.rewrite import prune
from onnxprune.torch.errors import Leak, LeakError
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import MISSING, PRESENT, Masked, compress, levels_of
from onnxprune.torch.tensors import to_numpy
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.verification.compare import compare
from onnxprune.verification.parity import Failure
from onnxprune.verification.references import removed_slices

__all__ = ["Checker", "bisect"]

Checker = Callable[[], bool]

Outputs = dict[str, np.ndarray]


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
    there, stopped = _smaller(units, feeds)
    cut = units.cut()
    found: list[tuple[str, str, str]] = []

    def look(node: ir.Node, results: Sequence[Masked | None]) -> None:
        for value, result in zip(node.outputs, results, strict=False):
            if found or not isinstance(result, Masked) or not result.value.is_floating_point():
                continue  # of integers, sizes may well differ
            name = value.name or ""
            reason = _unlike(cut, value, result)
            if reason is None and name in there:
                reason = _difference(there[name], result)
            elif reason is None and stopped:
                reason = f"the smaller graph stops here: {stopped}"
            if reason is not None:
                found.append((name, f"{node.op_type} '{node.name}'", reason))

    twin = Interpreter(units.graph.model)
    twin.observe = look
    try:
        twin.run(feeds, removed_slices(units))
    except LeakError as leak:
        return found[0] if found else (None, str(leak).partition(":")[0], str(leak))
    return found[0] if found else (None, None, "the smaller graph computes the same throughout")


def _smaller(units: Units, feeds: Mapping[str, np.ndarray]) -> tuple[Outputs, str]:
    """Every tensor of the smaller graph by name, and what stops it."""
    there: Outputs = {}

    def note(node: ir.Node, results: Sequence[Masked | None]) -> None:
        for value, result in zip(node.outputs, results, strict=False):
            if isinstance(result, Masked):
                there[value.name or ""] = to_numpy(result.value)

    try:
        small = Interpreter(prune(units).model)
        small.observe = note
        small.run(feeds)
    except (OnnxPruneError, RuntimeError, ValueError, LookupError) as error:
        return there, str(error).splitlines()[0]
    return there, ""


def _unlike(cut: Cut, value: ir.Value, result: Masked) -> str | None:
    """How what is missing of a result differs from what its labels say; copies may go or stay."""
    axes = cut.labels.axes.get(value, ())
    levels = levels_of(result)
    if len(axes) != levels.ndim:
        return None
    for i, axis in enumerate(axes):
        mask = cut.mask(axis)
        along = levels.movedim(i, 0).reshape(levels.shape[i], -1).numpy()
        said = np.ones(result.shape[i], bool) if mask is None else mask
        if i in result.born or len(said) != result.shape[i]:
            continue  # copies, or a size that is not known beforehand
        along = np.broadcast_to(along, (len(said), along.shape[1]))
        gone, there = (along == MISSING).all(axis=1), (along == PRESENT).any(axis=1)
        if (wrong := np.flatnonzero(np.where(said, gone, there))).size:
            rule, fact = ("stays", "goes") if said[wrong[0]] else ("goes", "stays")
            return f"its rule says that index {wrong[0]} of axis {i} {rule}, and it {fact}"
    return None


def _difference(small: np.ndarray, result: Masked) -> str | None:
    try:
        twin = to_numpy(compress(result))
    except Leak as leak:
        return leak.detail
    if small.shape != twin.shape:
        return f"shape {list(small.shape)} instead of {list(twin.shape)}"
    difference = compare({"": small}, {"": twin})
    return None if difference.agrees else f"{difference.excess:.3g} times the tolerance"
