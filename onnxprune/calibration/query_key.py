"""Projections whose results are multiplied with each other, as queries and keys are.

What they give may be turned in any way, one against the other, without a change of the product;
so a head of fewer channels need not keep some of those that it had.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.calibration.calibration import Calibration
from onnxprune.calibration.invariant import is_invariant
from onnxprune.calibration.rearranged import rearranged
from onnxprune.graph import Graph
from onnxprune.ops import linear_of
from onnxprune.ops.bias import bias_place
from onnxprune.runtime import Feeds
from onnxprune.runtime.store import Store
from onnxprune.runtime.walk import Walk

__all__ = ["QueryKey", "measure_pairs"]

_FEW = 2
"""Samples that tell how channels move."""

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

_SIZES_AND_PARTS = ("Shape", "Size", "Slice", "Split", "Gather")
"""Operators that may read a query or key: what they give is known, or other channels."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryKey:
    """Two projections, or two parts of one, whose results a node multiplies, head by head.

    Attributes:
        query: The node that gives one factor.
        key: The node that gives the other.
        queries: (heads, size) the columns of the query's result that each head takes.
        keys: (heads, size) those of the key's result that they meet.
        groups: (heads,) which heads share a key, counted from 0.
        query_square: (groups, size, size) mean products of the queries.
        key_square: (groups, size, size) the same of keys; covariances where a softmax follows,
            which what is the same for all keys does not change.
    """

    query: str
    key: str
    queries: Ids
    keys: Ids
    groups: Ids
    query_square: Doubles
    key_square: Doubles

    def turned(self, count: int) -> tuple[Doubles, Doubles]:
        """What queries and keys are multiplied with to have fewer channels.

        Of all matrices T and U with so many columns those for which Q T (K U)' is nearest to Q K'
        in the least squares sense, queries and keys taken as independent: by the singular values
        of A^1/2 B^1/2, with A = E[qq'] and B = E[kk'] (Eckart & Young, 1936; CORP,
        https://arxiv.org/abs/2602.05243, finds the best that keep some of the channels).

        Args:
            count: How many channels stay.

        Returns:
            (groups, size, count) for queries, and the same for keys.
        """
        sides = []
        for a, b in zip(self.query_square, self.key_square, strict=True):
            (root, back), (key_root, key_back) = _roots(a), _roots(b)
            left, values, right = np.linalg.svd(root @ key_root)
            spread = np.sqrt(values[:count])
            sides.append((back @ left[:, :count] * spread, key_back @ right[:count].T * spread))
        return np.stack([query for query, _ in sides]), np.stack([key for _, key in sides])

    def errors(self) -> Doubles:
        """(size,) the part of the products' square that is lost when 1, 2, ... channels are."""
        squares = np.zeros(self.queries.shape[1])
        for a, b in zip(self.query_square, self.key_square, strict=True):
            squares += np.linalg.svd(_roots(a)[0] @ _roots(b)[0], compute_uv=False) ** 2
        return np.asarray(np.cumsum(squares[::-1]) / max(float(squares.sum()), 1e-300))


def _roots(square: Doubles) -> tuple[Doubles, Doubles]:
    """The symmetric square root of a matrix, and its pseudo-inverse."""
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    roots = np.sqrt(np.maximum(values, 0))
    alive = roots > 1e-6 * max(float(roots.max(initial=0.0)), 1e-300)
    inverse = np.where(alive, 1 / np.where(alive, roots, 1), 0)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T


@dataclass(frozen=True, slots=True, eq=False)
class _Product:
    """A node that multiplies what two projections give, so far as the graph tells."""

    node: ir.Node
    query: ir.Node
    key: ir.Node
    beside: Sequence[ir.Value]

    @property
    def factors(self) -> tuple[ir.Value, ir.Value]:
        """What it multiplies."""
        left, right = self.node.inputs
        assert left is not None
        assert right is not None
        return left, right

    def ways(self, graph: Graph) -> Iterator[tuple[ir.Value, int, ir.Value]]:
        """What each projection gives, its bias added; its axis of channels; the factor behind."""
        for node, factor in zip((self.query, self.key), self.factors, strict=True):
            form = linear_of(node, graph)
            assert form is not None
            yield bias_place(node, node, form)[1], form.channels, factor


def measure_pairs(graph: Graph, calibration: Calibration, memory: int = 1 << 30) -> list[QueryKey]:
    """Find the queries and keys of a graph, and measure how they vary.

    Args:
        graph: The graph.
        calibration: Inputs.
        memory: Bytes of activations that may lie in memory; what is beyond goes to disk.

    Raises:
        OnnxPruneError: If the graph does not run with the inputs.
    """
    products = list(_products(graph))
    first = next(iter(calibration), None) if products else None
    if first is None:
        return []
    ways = [way for product in products for way in product.ways(graph)]
    cut, few = _few(graph, first)
    numbers = rearranged(graph, few, ways)
    heads = [_heads(numbers[i], numbers[i + 1], cut) for i in range(0, len(numbers), 2)]
    traced = [(p, columns) for p, columns in zip(products, heads, strict=True) if columns]
    walk, found = Walk(graph, calibration if traced else (), Store(memory)), []
    for product, columns in traced:
        sums = _Moments(columns, _is_softmaxed(product.node, graph))
        left, right = product.factors
        for seen in walk.advance(walk.index(product.node), [left, right]):
            key = np.swapaxes(np.asarray(seen[str(right.name)]), -1, -2)
            sums.add(np.asarray(seen[str(left.name)]), key)
        squares = sums.squares()
        if squares is not None and _only_product_counts(graph, few, product, sums):
            names = str(product.query.name), str(product.key.name)
            found.append(QueryKey(*names, sums.queries, sums.keys, sums.groups, *squares))
    walk.close()
    return _apart(found)


def _only_product_counts(graph: Graph, few: Feeds, product: _Product, sums: _Moments) -> bool:
    """Whether nothing but the product tells how queries and keys are turned."""
    ends = product.ways(graph), (sums.queries, sums.keys)
    sides = [(value, axis, heads) for (value, axis, _), heads in zip(*ends, strict=True)]
    return is_invariant(graph, few, sides, sums.groups, product.node.outputs[0], product.beside)


def _few(graph: Graph, feeds: Feeds) -> tuple[bool, Feeds]:
    """Whether there may be any number of samples, and then two: enough to see how channels move."""
    shapes = [graph.shape(value) for value in graph.inputs if value.name in feeds]
    if not all(shape and shape[0].dynamic for shape in shapes):
        return False, feeds
    return True, {name: np.resize(a, (_FEW, *a.shape[1:])) for name, a in feeds.items()}


def _apart(pairs: list[QueryKey]) -> list[QueryKey]:
    """Those with channels that no other has, in heads of one size for each projection."""
    sides = [
        (pair, node, columns)
        for pair in pairs
        for node, columns in ((pair.query, pair.queries), (pair.key, pair.keys))
    ]
    met = {
        pair
        for (pair, node, columns), (_, other, theirs) in itertools.permutations(sides, 2)
        if node == other
        if columns.shape[1] != theirs.shape[1] or np.intersect1d(columns, theirs).size
    }
    return [pair for pair in pairs if pair not in met]


def _products(graph: Graph) -> Iterator[_Product]:
    """Matrix products of what one projection each gives, and nothing else."""
    projections = {
        node
        for node in graph.model.graph
        if (form := linear_of(node, graph)) is not None and form.groups == 1
        if (data := node.inputs[form.data]) is not None and data.const_value is None
        if (weight := node.inputs[form.weight]) is not None and len(weight.uses()) == 1
    }
    for node in graph.model.graph:
        if node.op_type != "MatMul" or node.domain or node in projections:
            continue
        sources, passed = [], {node}
        for value in node.inputs:
            origins, between = _origins(value, projections)
            sources.append(origins)
            passed |= between
        if all(len(origins) == 1 for origins in sources):
            query, key = (next(iter(origins)) for origins in sources)
            beside = _beside({query.outputs[0], key.outputs[0]}, passed)
            if beside is not None:
                yield _Product(node, query, key, beside)


def _origins(
    value: ir.Value | None, projections: set[ir.Node]
) -> tuple[set[ir.Node], set[ir.Node]]:
    """The projections that a value is computed from, and the nodes between; sizes aside."""
    origins: set[ir.Node] = set()
    between: set[ir.Node] = set()
    todo = [value]
    while todo:
        value = todo.pop()
        node = None if value is None else value.producer()
        if node is None or node in between or node.op_type in ("Shape", "Size"):
            continue
        if node in projections:
            origins.add(node)
            continue
        between.add(node)
        todo += node.inputs
    return origins, between


def _beside(givens: set[ir.Value], passed: set[ir.Node]) -> list[ir.Value] | None:
    """What is taken from two projections on their way through some nodes; None if all may be."""
    todo, known, beside = list(givens), set(givens), []
    needed = {value for node in passed for value in node.inputs}
    while todo:
        value = todo.pop()
        if value.is_graph_output():
            return None
        for use in value.uses():
            results = list(use.node.outputs)
            if use.node in passed:
                fresh = [v for v in results if v in needed and v not in known]
                todo += fresh
                known.update(fresh)
                results = [] if len(results) == 1 else [v for v in results if v not in needed]
            elif use.node.op_type not in _SIZES_AND_PARTS or use.node.graph is not value.graph:
                return None
            beside += results
    return list(dict.fromkeys(beside))


def _is_softmaxed(node: ir.Node, graph: Graph) -> bool:
    """Whether a softmax over the keys is what takes the product."""
    last = -1 if graph.model.opset_imports.get("", 1) >= 13 else 1
    while len(uses := list(node.outputs[0].uses())) == 1:
        value, node = node.outputs[0], uses[0].node
        if node.op_type == "Softmax" and not node.domain:
            axis = node.attributes.get("axis")
            shape = graph.shape(value) or ()
            return (last if axis is None else axis.as_int()) in (-1, len(shape) - 1)
        if node.op_type not in ("Add", "Sub", "Mul", "Div", "Where"):
            return False
    return False


class _Moments:
    """Sums over what two projections give, head by head."""

    def __init__(self, columns: tuple[Ids, Ids], centred: bool) -> None:
        """Columns: (leading, size) of the query and the key, as the product's leading axes run."""
        both = np.concatenate(columns, axis=1)
        heads, self._head = np.unique(both, axis=0, return_inverse=True)
        self._centred = centred
        self.queries, self.keys = np.split(heads, 2, axis=1)
        keys, self.groups = np.unique(self.keys, axis=0, return_inverse=True)
        shape = (len(keys), heads.shape[1] // 2)
        self._query, self._key = np.zeros((2, *shape, shape[1]))
        self._sums, self._counts = np.zeros((2, *shape)), np.zeros((2, shape[0]))

    def add(self, queries: Array, keys: Array) -> None:
        """Take (..., rows, size) queries and keys; none where there are other heads than known."""
        leading = np.broadcast_shapes(queries.shape[:-2], keys.shape[:-2])
        if math.prod(leading) % len(self._head):
            return
        for i, (array, square) in enumerate(((queries, self._query), (keys, self._key))):
            whole = np.broadcast_to(array, (*leading, *array.shape[-2:]))
            rows = whole.reshape(-1, len(self._head), *whole.shape[-2:]).astype(np.float64)
            for place, head in enumerate(self._head):
                group = self.groups[head]
                own = rows[:, place].reshape(-1, rows.shape[-1])
                square[group] += own.T @ own
                self._sums[i, group] += own.sum(0)
                self._counts[i, group] += len(own)

    def squares(self) -> tuple[Doubles, Doubles] | None:
        """The mean products of queries and of keys; None if nothing was seen."""
        if not self._counts.all():
            return None
        query = self._query / self._counts[0][:, None, None]
        key = self._key / self._counts[1][:, None, None]
        if self._centred:
            mean = self._sums[1] / self._counts[1][:, None]
            key = key - mean[:, :, None] * mean[:, None, :]
        return (query, key) if np.isfinite(query).all() and np.isfinite(key).all() else None


def _heads(query: Ids | None, key: Ids | None, cut: bool) -> tuple[Ids, Ids] | None:
    """(leading, size) the columns that queries and keys are of, as the leading axes run.

    Args:
        query: (..., rows, size) the columns of the first factor.
        key: (..., size, rows) those of the second.
        cut: Whether there are as many samples as we took, and may be others later.
    """
    if query is None or key is None or query.ndim < 2 or key.ndim < 2 or not query.size * key.size:
        return None
    key = np.swapaxes(key, -1, -2)
    leading = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    found = []
    for columns in (query, key):
        if (columns != columns[..., :1, :]).any():
            return None
        whole = np.broadcast_to(columns[..., 0, :], (*leading, columns.shape[-1]))
        found.append(whole.reshape(-1, columns.shape[-1]))
    both = np.concatenate(found, axis=1)
    period = next(n for n in range(1, len(both) + 1) if _repeats(both, n))
    if cut and period == len(both):
        return None  # not the same for every sample: their number is part of the order
    heads = np.unique(both[:period], axis=0)
    for side in np.split(heads, 2, axis=1):  # a channel is in one head, and a head has it once
        parts = np.unique(side, axis=0)
        if len(np.unique(parts)) != parts.size:
            return None
    if len(np.unique(heads[:, : heads.shape[1] // 2], axis=0)) != len(heads):
        return None  # a query meets two keys
    return found[0][:period], found[1][:period]


def _repeats(rows: Ids, period: int) -> bool:
    if len(rows) % period:
        return False
    return bool((rows.reshape(-1, period, rows.shape[1]) == rows[:period]).all())
