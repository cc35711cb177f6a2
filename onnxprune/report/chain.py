"""The operators that tie the channels of a unit together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxprune.axes.factors import Factors
from onnxprune.axes.labels import Bound
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["chain"]

SHOWN = 4


def chain(units: Units, unit: MutableChannelUnit) -> list[str]:
    """What happens to a unit's channels, operator by operator in topological order.

    Args:
        units: The units of a model.
        unit: One of them.

    Returns:
        A line for every operator that gives, joins or takes the channels; those between them that
        only pass the channels on share a line.
    """
    lines: list[str] = []
    passing: list[str] = []
    for node, said in _Tracer(units, unit).steps():
        if not said:
            passing.append(f"{node.op_type} '{node.name}'")
            continue
        lines += _passed(passing)
        passing = []
        lines.append(f"{node.op_type} '{node.name}' {said}")
    return [*lines, *_passed(passing)]


def _passed(passing: list[str]) -> list[str]:
    if not passing:
        return []
    more = f" and {len(passing) - SHOWN} more" if len(passing) > SHOWN else ""
    return [f"passed on by {', '.join(passing[:SHOWN])}{more}"]


class _Tracer:
    """Follows the atoms of a unit through the rules at work on the nodes."""

    def __init__(self, units: Units, unit: MutableChannelUnit) -> None:
        self._labels = units.labels
        self._unit = unit
        self._known: dict[int, bool] = {}
        self._weights = set(units.graph.initializers.values())

    def steps(self) -> Iterator[tuple[ir.Node, str]]:
        """Every node that the channels reach, and what it does beyond passing them on."""
        for node, bound in self._labels.bound.items():
            if any(self._holds(axis) for axis in bound.names.values()):
                yield node, self._said(node, bound)

    def _said(self, node: ir.Node, bound: Bound) -> str:
        gives, takes = (
            {(channel.tensor, channel.axis) for channel in side if channel.node == node.name}
            for side in (self._unit.output_related, self._unit.input_related)
        )
        met = [
            f"'{value.name}'"
            for value, operand in zip(node.inputs, bound.binding.inputs, strict=False)
            if value is not None and operand is not None and value not in self._weights
            if any(self._holds(axis) for axis in self._labels.axes.get(value, ()))
        ]
        if len(dict.fromkeys(met)) > 1:
            return f"joins {' and '.join(dict.fromkeys(met))}"
        if gives & takes:
            return "scales or shifts them"
        if gives and takes:
            return "takes and gives them"
        return "gives them" if gives else "takes them" if takes else ""

    def _holds(self, axis: Factors) -> bool:
        return any(self._met(factor.label) for factor in axis if factor.label is not None)

    def _met(self, label: np.ndarray) -> bool:
        if id(label) not in self._known:
            full = self._labels.atoms.expand(label)
            self._known[id(label)] = bool(np.isin(full, self._unit.atoms).any())
        return self._known[id(label)]
