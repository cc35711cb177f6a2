"""How much of a model each barrier keeps whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes import Barrier
from onnxprune.axes.factors import Factors, flatten
from onnxprune.axes.labels import Labels
from onnxprune.graph.dtypes import is_weight
from onnxprune.units import Units

__all__ = ["Held", "held_by"]

FREE, ALONE = -1, -2


@dataclass(slots=True)
class Held:
    """What one barrier holds.

    Attributes:
        share: The fraction of the parameters that no choice can remove and that this barrier, on
            one of their axes, is a reason for. Two barriers may hold the same parameters.
        weights: The weights these lie in and how many of each, the most first.
    """

    share: float = 0.0
    weights: dict[str, int] = field(default_factory=dict)


def held_by(units: Units) -> dict[Barrier, Held]:
    """What each barrier keeps whole, the largest share first."""
    total, found = 0, dict[Barrier, Held]()
    for value in units.graph.initializers.values():
        if not is_weight(value.dtype):
            continue
        total += math.prod(dim.size for dim in units.graph.shape(value) or ())
        for barrier, count in _holders(units.labels, value):
            found.setdefault(barrier, Held()).weights[value.name or ""] = count
    for held in found.values():
        held.weights = dict(sorted(held.weights.items(), key=lambda item: -item[1]))
        held.share = sum(held.weights.values()) / total
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _holders(labels: Labels, value: ir.Value) -> Iterator[tuple[Barrier, int]]:
    """The barriers that hold elements of a weight, and how many; its own kernel is none."""
    reasons = [_reasons(labels, axis) for axis in labels.axes.get(value, ())]
    fixed = [reason[reason != FREE] for reason in reasons]
    whole = math.prod(len(reason) for reason in fixed)
    if not whole:
        return
    readers = {use.node.name for use in value.uses()}
    for number in np.unique(np.concatenate([*fixed, np.zeros(0, np.int64)])):
        barrier = labels.barriers[max(number, 0)]
        if number > 0 and not (barrier.kind == "whole" and barrier.node in readers):
            others = math.prod(int((reason != number).sum()) for reason in fixed)
            yield barrier, whole - others


def _reasons(labels: Labels, axis: Factors) -> npt.NDArray[np.int64]:
    """For each index the barrier that holds it, FREE if none does, ALONE on an axis of one."""
    flat = flatten(labels.atoms, axis, 0)
    if flat.label is None:
        return np.full(flat.size, flat.why if flat.size > 1 else ALONE)
    atoms = labels.atoms.expand(flat.label)
    why = np.where(atoms > 0, labels.atoms.why(atoms), FREE)
    free = ((atoms > 0) & (why == FREE)).any(axis=1)
    return np.where(free, FREE, why.max(axis=1))
