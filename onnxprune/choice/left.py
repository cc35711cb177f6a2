"""What the smallest choice still costs: where, and why it is not smaller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxprune.axes.cut import Cut
from onnxprune.axes.factors import Factors
from onnxprune.budget import parts_of_cut
from onnxprune.choice.scope import Problem
from onnxprune.ops import operator_name
from onnxprune.units import MutableChannelUnit

__all__ = ["what_is_left"]


def what_is_left(problem: Problem, of: str, most: int = 3) -> str:
    """Which parts of the model hold most of what the units' current choices leave, and why.

    Args:
        problem: What was to be chosen.
        of: What is counted, the name of a registered budget.
        most: How many parts are named.
    """
    cut = problem.units.cut()
    costs = sorted(parts_of_cut(of, cut), key=lambda part: -part[1])
    total = sum(share for _, share in costs) or 1
    told = [
        f"{share / total:.0%} in {_name(part)}{_why(problem, cut, part)}"
        for part, share in costs[:most]
        if share >= total / 100
    ]
    return f"of that {', '.join(told)}"


def _name(part: ir.Node | ir.Value) -> str:
    if isinstance(part, ir.Node):
        return f"{operator_name(part)} '{part.name}'"
    return f"'{part.name}'"


def _why(problem: Problem, cut: Cut, part: ir.Node | ir.Value) -> str:
    """What keeps most indices of a part's tensors, in brackets."""
    values = [part] if isinstance(part, ir.Value) else [*part.inputs, *part.outputs]
    kept: Counter[str] = Counter()
    for value in filter(None, values):
        for axis in problem.units.labels.axes.get(value, ()):
            reasons = Counter(_reasons(problem, cut, axis))
            kept |= reasons  # the same axis in several tensors counts once
    return next((f" ({reason})" for reason, _ in kept.most_common(1)), " (no unit reaches it)")


def _reasons(problem: Problem, cut: Cut, axis: Factors) -> Iterator[str]:
    """Why each index that stays of an axis does: a barrier, or the unit of its channel."""
    labels = problem.units.labels
    owner = {int(atom): unit for unit in problem.units.mutable for atom in unit.atoms}
    free = {unit.name for unit in problem.free}
    for factor in axis:
        if factor.label is None:
            continue
        rows = cut.rows(factor.label)
        atoms = labels.atoms.expand(factor.label if rows is None else factor.label[rows])
        whys = labels.atoms.why(atoms)
        for atom, why in zip(atoms.reshape(-1).tolist(), whys.reshape(-1).tolist(), strict=True):
            if why >= 0 and labels.barriers[why].kind != "whole":
                yield str(labels.barriers[why]).rstrip(".")
            elif atom in owner:
                yield _state(owner[atom], free)


def _state(unit: MutableChannelUnit, free: set[str]) -> str:
    if unit.name not in free:
        return f"'{unit.name}' is protected or not asked for"
    return f"'{unit.name}' keeps the least it may, {np.count_nonzero(unit.mask)}"
