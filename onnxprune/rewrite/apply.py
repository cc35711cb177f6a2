"""Carrying out a plan on a copy of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
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
        are gone.
    """
    nodes = list(model.graph)
    clone = model.clone()
    twin = dict(zip(nodes, clone.graph, strict=True))
    for value in (v for node in twin.values() for v in node.outputs):
        if not value.is_graph_output():
            value.shape = None
    for name, axes in plan.slices.items():
        _slice(clone.graph.initializers[name], axes)
    patcher = _Patcher(clone.graph)
    for node, patch in plan.patches.items():
        patcher.patch(twin[node], patch)
    return clone


def _slice(value: ir.Value, axes: Mapping[int, Ids]) -> None:
    whole = value.const_value
    assert whole is not None
    sizes = list(whole.shape.numpy())
    for axis, kept in axes.items():
        sizes[axis] = len(kept)

    def read() -> ir.TensorProtocol:
        array = whole.numpy()
        for axis, kept in axes.items():
            array = np.take(array, kept, axis)
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


@dataclass(slots=True)
class _Patcher:
    graph: ir.Graph
    count: int = field(default=0)

    def patch(self, node: ir.Node, patch: Patch) -> None:
        """Change one node; inputs are overlaid before it, outputs after it."""
        for name, value in patch.attributes.items():
            if value is None:
                node.attributes.pop(name, None)
            else:
                node.attributes[name] = ir.convenience.convert_attribute(name, value)
        for slot, change in patch.inputs.items():
            if slot >= len(node.inputs):
                node.resize_inputs(slot + 1)
            node.replace_input_with(slot, self._input(node, slot, change))
        for i, overlay in patch.outputs.items():
            if overlay:
                self._output(node, i, overlay)

    def _input(self, node: ir.Node, slot: int, change: npt.NDArray[np.int64] | Overlay) -> ir.Value:
        value = node.inputs[slot]
        old = None if value is None or value.const_value is None else value.const_value.numpy()
        if not isinstance(change, Overlay):
            return self._constant(node, change if old is None else change.astype(old.dtype))
        if old is not None:
            return self._constant(node, _overlaid(old, change))
        assert value is not None
        made, result = self._overlay(node, value, change)
        self.graph.insert_before(node, made)
        return result

    def _output(self, node: ir.Node, i: int, overlay: Overlay) -> None:
        value = node.outputs[i]
        uses = list(value.uses())
        made, result = self._overlay(node, value, overlay)
        self.graph.insert_after(node, made)
        for use in uses:
            use.node.replace_input_with(use.idx, result)

    def _overlay(
        self, node: ir.Node, sizes: ir.Value, overlay: Overlay
    ) -> tuple[Sequence[ir.Node], ir.Value]:
        """Nodes that put new elements over a vector computed while the model runs."""
        shape = () if overlay.length is None else (overlay.length,)
        made: list[ir.Node] = []
        if overlay.scaled:
            factors, divisors = np.ones(shape, np.int64), np.ones(shape, np.int64)
            for i, pair in overlay.scaled.items():
                factors[i], divisors[i] = pair
            grown = self._make(made, node, "Mul", sizes, self._constant(node, factors))
            scaled = self._make(made, node, "Div", grown, self._constant(node, divisors))
            positive = self._make(made, node, "Greater", sizes, self._constant(node, np.array(0)))
            sizes = self._make(made, node, "Where", positive, scaled, sizes)
        if overlay.fixed:
            mask, new = np.zeros(shape, bool), np.zeros(shape, np.int64)
            for i, size in overlay.fixed.items():
                mask.flat[i], new.flat[i] = True, size
            sizes = self._make(
                made, node, "Where", self._constant(node, mask), self._constant(node, new), sizes
            )
        return made, sizes

    def _make(self, made: list[ir.Node], near: ir.Node, op: str, *inputs: ir.Value) -> ir.Value:
        self.count += 1
        node = ir.node(op, inputs, name=f"{near.name}_pruned_{op}_{self.count}")
        node.outputs[0].name = node.name
        made.append(node)
        return node.outputs[0]

    def _constant(self, near: ir.Node, array: npt.NDArray[np.generic]) -> ir.Value:
        """A fresh initializer: constants of the original may serve other nodes too."""
        name = f"{near.name}_pruned_{self.count}"
        while name in self.graph.initializers:
            self.count += 1
            name = f"{near.name}_pruned_{self.count}"
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        self.graph.register_initializer(value)
        return value


def _overlaid(sizes: npt.NDArray[np.int64], overlay: Overlay) -> npt.NDArray[np.int64]:
    """The overlay of a constant."""
    new = sizes.copy()
    for i, (numerator, denominator) in overlay.scaled.items():
        if new[i] > 0:
            new[i] = new[i] * numerator // denominator
    for i, size in overlay.fixed.items():
        new[i] = size
    return new
