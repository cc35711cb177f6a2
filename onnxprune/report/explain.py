"""Why a unit, a node or a weight is as it is."""

from __future__ import annotations

import difflib

import numpy as np
import onnx_ir as ir

from onnxprune.axes.factors import Factors
from onnxprune.axes.flow import Flow
from onnxprune.errors import ChoiceError
from onnxprune.ops import rules_for
from onnxprune.report.chain import chain
from onnxprune.units import Units

__all__ = ["explain"]


def explain(units: Units, name: str) -> list[str]:
    """Explain a unit, a node or an initializer.

    Args:
        units: The units of a model.
        name: The name of a unit, a node or an initializer.

    Returns:
        Lines of text.

    Raises:
        ChoiceError: If the model has nothing of that name; the message names what is near.
    """
    lines: list[str] = []
    for unit in units:
        if unit.name == name:
            lines += str(unit).splitlines()
            may = "may lose channels" if unit.is_mutable else f"must stay whole: {unit.why_not}"
            lines.append(f"It {may}.")
            lines += ["Its channels:", *(f"  {step}" for step in chain(units, unit))]
    for node in units.graph.nodes:
        if node.name == name:
            lines += _node(units, node)
    value = units.graph.initializers.get(name)
    if value is not None:
        lines += _weight(units, value)
    if not lines:
        known = [*(u.name for u in units), *(n.name or "" for n in units.graph.nodes)]
        known += list(units.graph.initializers)
        near = difflib.get_close_matches(name, known, 3, 0.4)
        hint = f"; near are: {', '.join(near)}" if near else ""
        raise ChoiceError(
            f"{units.graph.source}: it has no unit, node or weight named '{name}'{hint}."
        )
    return lines


def _node(units: Units, node: ir.Node) -> list[str]:
    lines = [f"{node.op_type} '{node.name}'"]
    bound = units.labels.bound.get(node)
    if bound is None:
        rule = rules_for(units.graph)(node)
        if isinstance(rule, Flow):
            return [*lines, "  labels flow through its graphs"]
        reason = getattr(rule, "reason", "its rule does not fit its shapes")
        barred = [b for b in units.labels.barriers if b.node == node.name and b.kind == "operator"]
        return [*lines, f"  barrier: {barred[0].reason if barred else reason}"]
    lines.append(f"  {bound.rule.sentence.strip()}")
    sizes = ", ".join(f"{n} = {s}" for n, s in bound.binding.sizes.items() if s < 10_000)
    lines += [f"  {sizes}"] if sizes else []
    for unit in units:
        sides = [
            side
            for side, channels in (("produces", unit.output_related), ("reads", unit.input_related))
            if any(channel.node == node.name for channel in channels)
        ]
        if sides:
            lines.append(f"  {' and '.join(sides)} {unit.name}")
    for name, axis in bound.names.items():
        why = _why(units, axis)
        lines += [f"  {name} stays whole: {why}"] if why else []
    return lines


def _weight(units: Units, value: ir.Value) -> list[str]:
    shape = ", ".join(map(str, units.graph.shape(value) or ()))
    lines = [f"{value.name}: {value.dtype}[{shape}]"]
    atoms = units.labels.atoms
    for i, axis in enumerate(units.labels.axes.get(value, ())):
        labels = [atoms.expand(factor.label) for factor in axis if factor.label is not None]
        found = [u.name for u in units if any(np.isin(full, u.atoms).any() for full in labels)]
        why = _why(units, axis) or ("" if labels else "it has a single index")
        said = [", ".join(found) or "no unit", f"stays whole: {why}" if why else ""]
        lines.append(f"  axis {i}: {'; '.join(filter(None, said))}")
    return lines


def _why(units: Units, axis: Factors) -> str:
    """Why indices of an axis always stay, empty if none does."""
    atoms = units.labels.atoms
    numbers = {factor.why for factor in axis if factor.label is None and factor.why}
    for factor in axis:
        if factor.label is not None:
            full = atoms.expand(factor.label)
            numbers |= {int(why) for why in atoms.why(full[full > 0]) if why >= 0}
    return "; ".join(str(units.labels.barriers[number]) for number in sorted(numbers)[:3])
