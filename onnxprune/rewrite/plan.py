"""Everything that a choice asks of a graph, computed before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut, Mask
from onnxprune.axes.factors import Factors
from onnxprune.axes.labels import Blocks, Bound
from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph
from onnxprune.ops import PATCHES, Kept, Op, Overlay, Patch, operator_name
from onnxprune.units.units import Units

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to slice and what to patch.

    Attributes:
        slices: Initializer -> axis -> the indices that stay. Of axis 1 of a weight whose groups
            choose by themselves, (rows, indices): those of each index of axis 0 that stays.
        patches: Node of the original graph -> its changes.
        shapes: What goes into or comes out of a graph -> axis -> the size that it declares now, if
            it declares any; None where that depends on what is fed.
    """

    slices: Mapping[str, Mapping[int, Ids]]
    patches: Mapping[ir.Node, Patch]
    shapes: Mapping[ir.Value, Mapping[int, int | None]] = field(default_factory=dict)


def plan(units: Units) -> Plan:
    """Plan the rewrite that the units' current choices ask for.

    Args:
        units: All units of a graph, with their choices.

    Returns:
        The plan; empty where every unit stays whole.

    Raises:
        ChoiceError: If the choices would leave a tensor without any index on some axis.
    """
    for tensor, _ in units.empty():
        raise ChoiceError(f"The choices would leave nothing of the tensor '{tensor.name}'.")
    cut = units.cut()
    slices: dict[str, dict[int, Ids]] = {}
    for name, value in units.graph.initializers.items():
        masks = {i: cut.mask(axis) for i, axis in cut.axes(value)}
        if masks:
            slices[name] = {i: np.flatnonzero(m) for i, m in masks.items() if m is not None}
        blocks = units.labels.blocks.get(value)
        if blocks is not None and 1 in masks:
            slices[name][1] = _by_row(blocks, masks.get(0), cut)
    patches = {}
    for node, bound in units.labels.bound.items():
        patch = _patch(node, bound, cut)
        if patch is not None:
            patches[node] = patch
    return Plan(slices, patches, _declared(units.graph, cut))


def _declared(graph: Graph, cut: Cut) -> Mapping[ir.Value, Mapping[int, int | None]]:
    """The sizes of inputs and outputs of graphs that become smaller, inside nodes as well.

    What the author declares may be more than what inference found out.
    """
    sizes: dict[ir.Value, dict[int, int | None]] = {}
    for inner in graph.model.graphs():
        for value in (*inner.inputs, *inner.outputs):
            cuts = {
                i: None if any(factor.dynamic for factor in axis) else cut.size(axis)
                for i, axis in cut.axes(value)
            }
            if cuts:
                sizes[value] = cuts
    return sizes


def _by_row(blocks: Blocks, rows: Mask | None, cut: Cut) -> Ids:
    """(rows, indices) what stays of axis 1 of a grouped weight in each row that stays."""
    group = blocks.group if rows is None else blocks.group[rows]
    kept = [np.flatnonzero(mask) for mask in cut.kept(blocks.atoms)]
    return np.stack([kept[g] for g in group])


def _patch(node: ir.Node, bound: Bound, cut: Cut) -> Patch | None:
    if not any(True for v in (*node.inputs, *node.outputs) if v is not None for _ in cut.axes(v)):
        return None
    own = PATCHES.find(operator_name(node))
    patch = Patch() if own is None else own(Op(node, cut.labels.graph), _kept(node, cut))
    before = bound.rule.stated(bound.binding.sizes.__getitem__)
    after = bound.rule.stated(lambda name: cut.size(bound.names[name]))
    attributes = {name: size for name, size in after.items() if size != before[name]}
    inputs = {
        slot: resized
        for slot, output in bound.rule.shape_inputs.items()
        if slot < len(node.inputs) and node.inputs[slot] is not None
        if (resized := _spelt(node.inputs[slot], node.outputs[output], cut))
    }
    patch = replace(
        patch, attributes={**attributes, **patch.attributes}, inputs={**inputs, **patch.inputs}
    )
    return patch or None


def _kept(node: ir.Node, cut: Cut) -> Kept:
    def mask(value: ir.Value | None, axis: int) -> np.ndarray | None:
        axes = cut.labels.axes.get(value, ()) if value is not None else ()
        return cut.mask(axes[axis]) if axis < len(axes) else None

    def restored(i: int) -> Overlay:
        value = node.inputs[i]
        assert value is not None
        return _resized(value, cut, back=True)

    return Kept(
        input=lambda i, axis: mask(node.inputs[i], axis),
        output=lambda i, axis: mask(node.outputs[i], axis),
        restored=restored,
    )


def _spelt(sizes: ir.Value | None, value: ir.Value, cut: Cut) -> Overlay:
    """The overlay for a vector that spells out the shape of a value, or its last axes."""
    overlay = _resized(value, cut)
    shape = None if sizes is None else cut.labels.graph.shape(sizes)
    if not overlay or not shape:
        return overlay
    first = len(cut.labels.axes[value]) - shape[0].size
    return Overlay(
        shape[0].size,
        {i - first: size for i, size in overlay.fixed.items() if i >= first},
        {i - first: pair for i, pair in overlay.scaled.items() if i >= first},
    )


def _resized(value: ir.Value, cut: Cut, back: bool = False) -> Overlay:
    """The sizes of a value: from the original to the new ones, or back."""
    shape = cut.labels.graph.shape(value) or ()
    fixed: dict[int, int] = {}
    scaled: dict[int, tuple[int, int]] = {}
    for i, axis in cut.axes(value):
        if not shape[i].dynamic:
            fixed[i] = shape[i].size if back else cut.size(axis)
        else:
            new, old = _labelled_sizes(axis, cut)
            scaled[i] = (old, new) if back else (new, old)
    return Overlay(len(shape), fixed, scaled)


def _labelled_sizes(axis: Factors, cut: Cut) -> tuple[int, int]:
    """The product of an axis' labelled factors after and before the cut."""
    labelled = tuple(factor for factor in axis if factor.label is not None)
    old = 1
    for factor in labelled:
        old *= factor.size
    return cut.size(labelled), old
