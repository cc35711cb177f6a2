"""Where a smaller model can make up for what it lost: nodes whose weights can be fitted anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut
from onnxprune.graph import Graph
from onnxprune.ops import Linear, linear_of
from onnxprune.refit.write import MARK
from onnxprune.units import Units

__all__ = ["Site", "bias_of", "dense_matrix", "find_sites", "sliced"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A node of the smaller model that multiplies with a weight, and what it should give.

    Attributes:
        dense: The node in the original.
        small: The same node in the smaller model.
        dense_form: What it is as a matrix product, in the original.
        form: The same in the smaller model.
        bias: Where its bias is or may be added: a node and its input; None where none is.
        given: What the original gives there, the bias added.
        target: What of the original is to be met: `given`, or a sum that it goes into.
        other: What the smaller model adds to it, None where `target` is `given`.
    """

    dense: ir.Node
    small: ir.Node
    dense_form: Linear
    form: Linear
    bias: tuple[ir.Node, int] | None
    given: ir.Value
    target: ir.Value
    other: ir.Value | None

    @property
    def seen(self) -> list[ir.Value]:
        """What of the original is looked at."""
        return [self.dense_data, self.dense.outputs[0], self.given, self.target]

    @property
    def alone(self) -> bool:
        """Whether no other node takes the weight; nodes that share it keep their biases."""
        return len(self.weight.uses()) == 1

    @property
    def rectified(self) -> bool:
        """Whether all that takes the result is a ReLU, and the bias is this node's to choose."""
        uses = self.target.uses()
        relus = bool(uses) and all(use.node.op_type == "Relu" for use in uses)
        free = self.bias is not None and self.alone
        return relus and free and not self.target.is_graph_output()

    @property
    def weight(self) -> ir.Value:
        """The weight, in the smaller model."""
        return _input(self.small, self.form.weight)

    @property
    def data(self) -> ir.Value:
        """What the node takes, in the smaller model."""
        return _input(self.small, self.form.data)

    @property
    def dense_data(self) -> ir.Value:
        """What the node takes, in the original."""
        return _input(self.dense, self.dense_form.data)


def find_sites(units: Units, small: Graph) -> list[Site]:
    """The nodes of a smaller model, in order, that see something else than in the original.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        small: The smaller model.
    """
    dense = {node.name: (i, node) for i, node in enumerate(units.graph.model.graph)}
    place = {node: i for i, node in enumerate(small.model.graph)}
    forms = [
        (node, form)
        for node in _touched(units, small)
        if node.name in dense and (form := linear_of(node, small)) is not None
        if not _is_constant(_input(node, form.data))
    ]
    ends = [dense[node.name][0] for node, _ in forms]
    sites = []
    for k, (node, form) in enumerate(forms):
        twin = dense[node.name][1]
        dense_form = linear_of(twin, units.graph)
        if dense_form is None:
            continue
        bias, given, result = _with_bias(twin, node, dense_form)
        following = ends[k + 1] if k + 1 < len(ends) else len(dense)
        target, other = given, None
        total, addend = _sum(given, result)
        if total is not None and addend is not None and _alike(units.graph, given, total):
            source, adds = addend.producer(), total.producer()
            ready = source is None or place.get(source, len(place)) < place[node]
            if ready and adds is not None and dense[adds.name][0] < following:
                target, other = total, addend
        sites.append(Site(twin, node, dense_form, form, bias, given, target, other))
    return sites


def sliced(cut: Cut, value: ir.Value, array: Array) -> Array:
    """What a choice leaves of what the original computes.

    Raises:
        ValueError: If the array has not the sizes that the choice is about.
    """
    for axis, factors in cut.axes(value):
        mask = cut.mask(factors)
        if mask is not None:
            if array.shape[axis] != len(mask):
                raise ValueError("a size that depends on the input")
            array = np.compress(mask, array, axis)
    return array


def bias_of(site: Site) -> Array:
    """(results,) the bias that a node of the smaller model has; (1,) a zero where it has none."""
    node, slot = site.bias or (site.small, len(site.small.inputs))
    value = node.inputs[slot] if slot < len(node.inputs) else None
    if value is None or value.const_value is None:
        return np.zeros(1, np.float32)
    return np.asarray(value.const_value.numpy().reshape(-1))


def dense_matrix(site: Site, slices: Mapping[str, Mapping[int, Ids]]) -> npt.NDArray[np.float64]:
    """(groups, columns, results) the original's matrix, with the results that stay.

    Args:
        site: A node of which no whole groups go.
        slices: Initializer -> axis -> the indices that stay.
    """
    weight = _input(site.dense, site.dense_form.weight)
    assert weight.const_value is not None
    array, chosen = weight.const_value.numpy(), None
    for axis, kept in slices.get(str(weight.name), {}).items():
        if axis == site.form.weight_axis:
            continue
        if kept.ndim == 1:
            array = np.take(array, kept, axis)
        else:  # a row for each column that stays: groups keep results of their own
            chosen = kept[:: len(kept) // site.form.groups, None]
    matrix = site.dense_form.matrix(array).astype(np.float64)
    return matrix if chosen is None else np.take_along_axis(matrix, chosen, 2)


def _touched(units: Units, small: Graph) -> Iterator[ir.Node]:
    """Nodes of the main graph that take what a choice has changed."""
    originals: Mapping[str, ir.Value] = units.graph.initializers
    changed = {
        value
        for name, value in small.initializers.items()
        if name not in originals or not _same(originals[name], value)
    }
    for node in small.model.graph:
        inputs = [value for value in node.inputs if value is not None]
        moved = [v for v in inputs if v in changed]
        if any(not _is_constant(value) for value in moved):
            yield node
        if moved:
            changed.update(node.outputs)


def _same(before: ir.Value, after: ir.Value) -> bool:
    old, new = before.const_value, after.const_value
    if old is None or new is None or MARK in new.metadata_props:
        return False
    return list(old.shape.numpy()) == list(new.shape.numpy())


def _with_bias(
    dense: ir.Node, small: ir.Node, form: Linear
) -> tuple[tuple[ir.Node, int] | None, ir.Value, ir.Value]:
    """Where the bias is, and what is given with it, in the original and in the smaller model."""
    given, result = dense.outputs[0], small.outputs[0]
    if form.bias is not None:
        return (small, form.bias), given, result
    dense_sum, small_sum = _only_sum(given), _only_sum(result)
    if dense_sum is not None and small_sum is not None and dense_sum[0].name == small_sum[0].name:
        vector = small_sum[0].inputs[small_sum[1]]
        sizes = list(vector.shape or ()) if vector is not None and _is_constant(vector) else []
        if sizes == list(_input(small, form.weight).shape or ())[-1:] != [1]:
            return small_sum, dense_sum[0].outputs[0], small_sum[0].outputs[0]
    return None, given, result


def _only_sum(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The one node that takes a value, if it adds something to it, and where that stands."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != "Add":
        return None
    node, producer = uses[0].node, value.producer()
    if producer is None or node.graph is not producer.graph:
        return None  # inside of a branch or a loop
    return node, 1 - uses[0].idx


def _sum(given: ir.Value, result: ir.Value) -> tuple[ir.Value | None, ir.Value | None]:
    """The sum in the original that a value goes into, and what the smaller model adds to it."""
    dense, small = _only_sum(given), _only_sum(result)
    if dense is None or small is None or dense[0].name != small[0].name:
        return None, None
    addend = _input(*small)
    return (None, None) if _is_constant(addend) else (dense[0].outputs[0], addend)


def _alike(graph: Graph, first: ir.Value, second: ir.Value) -> bool:
    shape = graph.shape(first)
    return shape is not None and shape == graph.shape(second)


def _is_constant(value: ir.Value) -> bool:
    return value.const_value is not None


def _input(node: ir.Node, slot: int) -> ir.Value:
    value = node.inputs[slot]
    assert value is not None
    return value
