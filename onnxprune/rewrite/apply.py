"""Carrying out a plan on a copy of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.graph.names import Namer, value_names
from onnxprune.graph.opaque import opaque
from onnxprune.ops import Overlay, Patch
from onnxprune.rewrite.plan import Plan

__all__ = ["apply"]


def apply(model: ir.Model, plan: Plan) -> ir.Model:
    """A copy of the model with the plan carried out; the model itself is not changed.

    Args:
        model: The model that the plan was made for.
        plan: The plan.

    Returns:
        The smaller model. Weights are sliced when they are read; shapes of intermediate values
        are gone, where they can be told again.
    """
    clone = model.clone()
    twin = dict(zip(model.graph.all_nodes(), clone.graph.all_nodes(), strict=True))
    for value in (v for node in twin.values() for v in node.outputs):
        if not value.is_graph_output() and not opaque(value.producer()):
            value.shape = None
    for graph, copy in zip(model.graphs(), clone.graphs(), strict=True):
        border = (*graph.inputs, *graph.outputs), (*copy.inputs, *copy.outputs)
        for value, copied in zip(*border, strict=True):
            if value in plan.shapes and copied.shape is not None:
                copied.shape = _declared(copied.shape, plan.shapes[value])
    for name, axes in plan.slices.items():
        _slice(clone.graph.initializers[name], axes)
    nodes = (node.name or "" for node in clone.graph.all_nodes())
    patcher = _Patcher(clone.graph, Namer([*value_names(clone), *nodes]))
    for node, patch in plan.patches.items():
        patcher.patch(twin[node], patch)
    return clone


def _declared(shape: ir.Shape, sizes: Mapping[int, int | None]) -> ir.Shape:
    """A declared shape after the cut; sizes that it leaves open stay open."""
    return ir.Shape(
        sizes.get(i, size) if isinstance(size, int) else size for i, size in enumerate(shape)
    )


def _slice(value: ir.Value, axes: Mapping[int, Ids]) -> None:
    whole = value.const_value
    assert whole is not None
    sizes = list(whole.shape.numpy())
    for axis, kept in axes.items():
        sizes[axis] = kept.shape[-1]

    def read() -> ir.TensorProtocol:
        array = whole.numpy()
        for axis, kept in sorted(axes.items(), key=lambda item: item[1].ndim):
            array = np.take(array, kept, axis) if kept.ndim == 1 else _take_by_row(array, kept)
        return ir.Tensor(np.ascontiguousarray(array), dtype=whole.dtype, name=value.name)

    shape = ir.Shape(sizes)
    value.const_value = ir.LazyTensor(
        read,
        dtype=whole.dtype,
        shape=shape,
        name=value.name,
        metadata_props=dict(whole.metadata_props),
    )
    value.shape = ir.Shape(sizes)


def _take_by_row(array: npt.NDArray[np.generic], kept: Ids) -> npt.NDArray[np.generic]:
    """Other indices of axis 1 for each index of axis 0."""
    return np.take_along_axis(array, kept.reshape(*kept.shape, *[1] * (array.ndim - 2)), 1)


@dataclass(slots=True)
class _Patcher:
    graph: ir.Graph
    namer: Namer

    def patch(self, node: ir.Node, patch: Patch) -> None:
        """Change one node; inputs are picked from and overlaid before it, outputs after it."""
        for name, value in patch.attributes.items():
            if value is None:
                node.attributes.pop(name, None)
            else:
                node.attributes[name] = ir.convenience.convert_attribute(name, value)
        for slot, axes in patch.picks.items():
            for axis, indices in axes.items():
                self._pick(node, slot, axis, indices)
        for slot, change in patch.inputs.items():
            if slot >= len(node.inputs):
                node.resize_inputs(slot + 1)
            node.replace_input_with(slot, self._input(node, slot, change))
        for i, overlay in patch.outputs.items():
            if overlay:
                self._output(node, i, overlay)

    def _pick(self, node: ir.Node, slot: int, axis: int, indices: npt.NDArray[np.int64]) -> None:
        name = self.namer.unique(f"{node.name}_pruned_Gather")
        operands = [node.inputs[slot], self._constant(node, indices)]
        made = ir.node("Gather", operands, {"axis": axis}, name=name)
        made.outputs[0].name = name
        _home(node).insert_before(node, made)
        node.replace_input_with(slot, made.outputs[0])

    def _input(self, node: ir.Node, slot: int, change: npt.NDArray[np.int64] | Overlay) -> ir.Value:
        value = node.inputs[slot]
        old = None if value is None or value.const_value is None else value.const_value.numpy()
        if not isinstance(change, Overlay):
            whole = None if value is None or value.dtype is None else value.dtype.numpy()
            return self._constant(node, change.astype(whole or np.int64))
        if old is not None:
            return self._constant(node, _overlaid(old, change))
        assert value is not None
        made, result = self._overlay(node, value, change)
        _home(node).insert_before(node, made)
        return result

    def _output(self, node: ir.Node, i: int, overlay: Overlay) -> None:
        value = node.outputs[i]
        uses = list(value.uses())
        made, result = self._overlay(node, value, overlay)
        graph = _home(node)
        graph.insert_after(node, made)
        for use in uses:
            use.node.replace_input_with(use.idx, result)
        for place, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[place] = result
                result.shape, result.type = value.shape, value.type
                result.name, value.name = value.name, result.name

    def _overlay(
        self, node: ir.Node, sizes: ir.Value, overlay: Overlay
    ) -> tuple[Sequence[ir.Node], ir.Value]:
        """Nodes that put new elements over a vector computed while the model runs."""
        shape = () if overlay.length is None else (overlay.length,)
        made: list[ir.Node] = []

        def make(op: str, first: ir.Value, second: ir.Value | npt.NDArray[np.int64]) -> ir.Value:
            constant = second if isinstance(second, ir.Value) else self._constant(node, second)
            name = self.namer.unique(f"{node.name}_pruned_{op}")
            made.append(ir.node(op, [first, constant], name=name))
            made[-1].outputs[0].name = name
            return made[-1].outputs[0]

        if overlay.fixed:
            others, new = np.ones(shape, np.int64), np.zeros(shape, np.int64)
            for i, size in overlay.fixed.items():
                others.flat[i], new.flat[i] = 0, size
            sizes = make("Add", make("Mul", sizes, others), new)
        if overlay.scaled:  # sizes + sizes / denominator * (numerator - denominator)
            growth, divisors = np.zeros(shape, np.int64), np.ones(shape, np.int64)
            for i, (numerator, denominator) in overlay.scaled.items():
                growth[i], divisors[i] = numerator - denominator, denominator
            sizes = make("Add", sizes, make("Mul", make("Div", sizes, divisors), growth))
        return made, sizes

    def _constant(self, near: ir.Node, array: npt.NDArray[np.generic]) -> ir.Value:
        """A fresh initializer: constants of the original may serve other nodes too."""
        name = self.namer.unique(f"{near.name}_pruned")
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        self.graph.register_initializer(value)
        return value


def _home(node: ir.Node) -> ir.Graph:
    """The graph that a node is in; it may be one inside another node."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def _overlaid(sizes: npt.NDArray[np.int64], overlay: Overlay) -> npt.NDArray[np.int64]:
    """The overlay of a constant."""
    new = sizes.copy()
    for i, (numerator, denominator) in overlay.scaled.items():
        if new[i] >= denominator:
            new[i] = new[i] * numerator // denominator
    for i, size in overlay.fixed.items():
        new[i] = size
    return new
