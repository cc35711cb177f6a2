"""Where a smaller model can make up for what it lost: nodes whose weights can be fitted anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut
from onnxprune.graph import Graph
from onnxprune.graph.loops import bodies
from onnxprune.ops import MACS, Linear, linear_of, operator_name
from onnxprune.ops.bias import bias_place, input_of, is_constant, only_sum
from onnxprune.refit.turn import Turn
from onnxprune.refit.write import MARK
from onnxprune.units import Units

__all__ = ["Site", "bias_of", "dense_matrix", "find_others", "find_sites", "sliced", "small_matrix"]

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
        turn: What of the result is mixed anew before it is sliced, None for nothing.
    """

    dense: ir.Node
    small: ir.Node
    dense_form: Linear
    form: Linear
    bias: tuple[ir.Node, int] | None
    given: ir.Value
    target: ir.Value
    other: ir.Value | None
    turn: Turn | None = None

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
        return input_of(self.small, self.form.weight)

    @property
    def data(self) -> ir.Value:
        """What the node takes, in the smaller model."""
        return input_of(self.small, self.form.data)

    @property
    def dense_data(self) -> ir.Value:
        """What the node takes, in the original."""
        return input_of(self.dense, self.dense_form.data)


def find_sites(units: Units, small: Graph, turns: Mapping[str, Turn] | None = None) -> list[Site]:
    """The nodes of a smaller model, in order, that see something else than in the original.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        small: The smaller model.
        turns: Nodes whose results are mixed anew, of which there is a site in any case.
    """
    turns = turns or {}
    dense = {node.name: (i, node) for i, node in enumerate(units.graph.model.graph)}
    place = {node: i for i, node in enumerate(small.model.graph)}
    forms = [
        (node, form)
        for node in _touched(units, small, turns)
        if node.name in dense and (form := linear_of(node, small)) is not None
        if not is_constant(input_of(node, form.data))
    ]
    ends = [dense[node.name][0] for node, _ in forms]
    sites = []
    for k, (node, form) in enumerate(forms):
        twin = dense[node.name][1]
        dense_form = linear_of(twin, units.graph)
        if dense_form is None:
            continue
        bias, given, result = bias_place(twin, node, dense_form)
        following = ends[k + 1] if k + 1 < len(ends) else len(dense)
        target, other = given, None
        total, addend = _sum(given, result)
        if total is not None and addend is not None and _alike(units.graph, given, total):
            source, adds = addend.producer(), total.producer()
            ready = source is None or place.get(source, len(place)) < place[node]
            if ready and adds is not None and dense[adds.name][0] < following:
                target, other = total, addend
        turn = turns.get(str(node.name))
        sites.append(Site(twin, node, dense_form, form, bias, given, target, other, turn))
    return sites


def find_others(units: Units, small: Graph, sites: Collection[Site]) -> dict[str, str]:
    """Products with a weight that see something else than in the original and are no sites.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        small: The smaller model.
        sites: Those that are.

    Returns:
        Node -> why its weight stays as it is sliced.
    """
    known = {site.small for site in sites}
    weights, found = _weights(small), {}
    for node in _touched(units, small, ()):
        products = [inner for inner in _with_inner(node) if _multiplies(inner, small, weights)]
        if products and node not in known:
            kind = products[0].op_type
            found[str(node.name)] = (
                f"it is a product ({kind}) that is not fitted"
                if products[0] is node
                else f"its products ({kind}) are inside of it"
            )
    return found


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
    if site.turn is not None:
        return site.turn.bias
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
    weight = input_of(site.dense, site.dense_form.weight)
    array, chosen = _whole(site), None
    for axis, kept in slices.get(str(weight.name), {}).items():
        if axis == site.form.weight_axis:
            continue
        if kept.ndim == 1:
            array = np.take(array, kept, axis)
        else:  # a row for each column that stays: groups keep results of their own
            chosen = kept[:: len(kept) // site.form.groups, None]
    matrix = site.dense_form.matrix(array).astype(np.float64)
    return matrix if chosen is None else np.take_along_axis(matrix, chosen, 2)


def small_matrix(site: Site, slices: Mapping[str, Mapping[int, Ids]]) -> npt.NDArray[np.float64]:
    """(groups, columns, results) the matrix that the smaller model starts from.

    Args:
        site: The node.
        slices: Initializer -> axis -> the indices that stay.
    """
    assert site.weight.const_value is not None
    array = site.weight.const_value.numpy()
    if site.turn is not None:
        array = _whole(site)
        for axis, kept in slices.get(str(site.weight.name), {}).items():
            array = np.take(array, kept, axis)
    return site.form.matrix(array).astype(np.float64)


def _whole(site: Site) -> Array:
    """The original's weight, its results mixed anew where they are."""
    weight = input_of(site.dense, site.dense_form.weight).const_value
    assert weight is not None
    return (
        weight.numpy()
        if site.turn is None
        else site.turn(weight.numpy(), 1 - site.form.weight_axis)
    )


def _touched(units: Units, small: Graph, also: Collection[str]) -> Iterator[ir.Node]:
    """Nodes of the main graph that take what a choice has changed, and some by name."""
    originals: Mapping[str, ir.Value] = units.graph.initializers
    changed = {
        value
        for name, value in small.initializers.items()
        if name not in originals or not _same(originals[name], value)
    }
    weights = _weights(small)
    for node in small.model.graph:
        taken = [v for inner in _with_inner(node) for v in inner.inputs if v is not None]
        moved = [value for value in taken if value in changed]
        if node.name in also or any(value not in weights for value in moved):
            yield node
        if moved:
            changed.update(v for inner in _with_inner(node) for v in inner.outputs)


def _weights(graph: Graph) -> set[ir.Value]:
    """The initializers, and what is computed from them alone."""
    found = set(graph.initializers.values())
    for node in graph.nodes:
        taken = [value for value in node.inputs if value is not None]
        if taken and not bodies(node) and all(value in found for value in taken):
            found.update(node.outputs)
    return found


def _with_inner(node: ir.Node) -> Iterator[ir.Node]:
    """A node and those of the graphs inside of it."""
    yield node
    for body in bodies(node):
        yield from body.all_nodes()


def _multiplies(node: ir.Node, graph: Graph, weights: Collection[ir.Value]) -> bool:
    """Whether a node multiplies something with a matrix of weights."""
    shapes = (graph.shape(v) for v in node.inputs if v is not None and v in weights)
    matrix = any(shape is None or len(shape) > 1 for shape in shapes)
    return matrix and MACS.find(operator_name(node)) is not None


def _same(before: ir.Value, after: ir.Value) -> bool:
    old, new = before.const_value, after.const_value
    if old is None or new is None or MARK in new.metadata_props:
        return False
    return list(old.shape.numpy()) == list(new.shape.numpy())


def _sum(given: ir.Value, result: ir.Value) -> tuple[ir.Value | None, ir.Value | None]:
    """The sum in the original that a value goes into, and what the smaller model adds to it."""
    dense, small = only_sum(given), only_sum(result)
    if dense is None or small is None or dense[0].name != small[0].name:
        return None, None
    addend = input_of(*small)
    return (None, None) if is_constant(addend) else (dense[0].outputs[0], addend)


def _alike(graph: Graph, first: ir.Value, second: ir.Value) -> bool:
    shape = graph.shape(first)
    return shape is not None and shape == graph.shape(second)
