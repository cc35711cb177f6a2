"""What flows into the nodes that multiply: its mean, its spread, how its parts vary together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.calibration.calibration import Calibration
from onnxprune.calibration.query_key import QueryKey, measure_pairs
from onnxprune.calibration.source import hashed
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.ops import Linear, linear_of
from onnxprune.runtime.journal import Journal, Pages, identity
from onnxprune.runtime.replay import Replay
from onnxprune.runtime.store import Store

__all__ = ["Moments", "Statistics", "find_pairs", "measure", "measured", "picker"]

Doubles = npt.NDArray[np.float64]
Track = Callable[[Sequence[ir.Node]], Iterable[ir.Node]]

_LARGEST = 1e15
"""Of what flows: sums of squares are then far from what float32 holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the rows that a node multiplies with its weight, by groups; all in float64.

    Attributes:
        form: The node as a matrix product.
        mean: (groups, columns).
        square: (groups, columns) the mean square.
        present: (groups, columns) how often a column is not zero, 0 to 1.
        covariance: (groups, columns, columns), None where it was not asked for or is too large.
    """

    form: Linear
    mean: Doubles
    square: Doubles
    present: Doubles
    covariance: Doubles | None = None

    @property
    def variance(self) -> Doubles:
        """(groups, columns) the variance."""
        return np.maximum(self.square - self.mean**2, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What was measured of a graph.

    Attributes:
        moments: Node -> the moments of what it multiplies.
        samples: The number of calibration samples.
        origin: What they are.
        pairs: Queries and keys.
    """

    moments: Mapping[str, Moments]
    samples: int
    origin: str
    pairs: Sequence[QueryKey] = ()

    def digest(self) -> str:
        """A hash of all that was measured."""
        kinds = ("mean", "square", "present", "covariance")
        moments = [
            hashed(
                node, *(b"" if (a := getattr(m, kind)) is None else a.tobytes() for kind in kinds)
            )
            for node, m in self.moments.items()
        ]
        pairs = (hashed(key, a.tobytes()) for key, a in _packed(self.pairs).items())
        return hashed(*moments, *pairs)


def measure(
    graph: Graph,
    calibration: Calibration,
    covariances: bool = True,
    positions: int = 32,
    seed: int = 0,
    memory: int = 1 << 30,
    track: Track = lambda nodes: nodes,
    journal: Journal | None = None,
) -> Statistics:
    """Run a graph over calibration inputs and measure what its nodes multiply.

    Args:
        graph: The graph.
        calibration: Inputs.
        covariances: Whether covariances are wanted; those of more columns than fit are left out.
        positions: At most how many rows of a sample are looked at, picked at random.
        seed: What picks them.
        memory: Bytes of activations, and bytes of covariances, that may lie in memory; activations
            beyond it go to disk.
        track: Wraps the nodes to show how far it is.
        journal: Where what is measured is kept, node by node; what is kept already is not measured
            again, and if that is everything the graph is not run.

    Raises:
        OnnxPruneError: If the graph does not run with the inputs, or what flows is not finite,
            or too large to be squared.
    """
    forms = {node: form for node in graph.model.graph if (form := _mixing(node, graph)) is not None}
    fitting = _fitting(forms, memory) if covariances else set()
    pages, walk = measured(journal, graph, calibration), Replay(graph, calibration, Store(memory))
    found: dict[str, Moments] = {}
    for node in track(list(forms)):
        form, data = forms[node], node.inputs[forms[node].data]
        assert data is not None
        key = (str(node.name), positions, seed, node in fitting)
        place = walk.index(node) + 1, [data, node.outputs[0]]
        if (known := pages.get(*key)) is not None:
            walk.pass_by(*place)
            found |= _named(node, form, known)
            continue
        sums, random = _Sums(node in fitting), picker(seed, node)
        for seen in walk.advance(*place):
            given, taken = seen[str(node.outputs[0].name)], np.asarray(seen[str(data.name)])
            largest = float(np.abs(taken).max(initial=0))
            if not largest < _LARGEST:
                raise _refusal(graph, node, largest, calibration)
            if not given.size:
                continue
            picked = form.some(given.shape, positions, random)
            sums.add(form.rows(taken, given.shape, picked))
        arrays = sums.moments()
        pages.put(*key, arrays=arrays)
        found |= _named(node, form, arrays)
    walk.close()
    pairs = find_pairs(graph, calibration, memory, pages)
    return Statistics(found, calibration.samples, calibration.origin, pairs)


def measured(journal: Journal | None, graph: Graph, calibration: Calibration) -> Pages:
    """Where a journal keeps what is measured of a graph."""
    if journal is None:
        return Pages()
    return journal.pages("measured", identity(graph), calibration.digest())


def find_pairs(graph: Graph, calibration: Calibration, memory: int, pages: Pages) -> list[QueryKey]:
    """Queries and keys, as `onnxprune.calibration.query_key.measure_pairs` finds them, kept.

    Args:
        graph: The graph.
        calibration: Inputs.
        memory: Bytes of activations that may lie in memory; what is beyond goes to disk.
        pages: Where they are kept; those that are kept already are not measured again.

    Raises:
        OnnxPruneError: If the graph does not run with the inputs.
    """
    known = pages.get("queries and keys")
    if known is not None:
        return _unpacked(known)
    pairs = measure_pairs(graph, calibration, memory)
    pages.put("queries and keys", arrays=_packed(pairs))
    return pairs


def picker(seed: int, node: ir.Node) -> np.random.Generator:
    """What picks the rows of a node, the same ones whatever was picked before.

    Raises:
        OnnxPruneError: If the seed is negative.
    """
    if seed < 0:
        raise OnnxPruneError(f"A seed is at least 0, not {seed}.")
    return np.random.default_rng([seed, *str(node.name).encode()])


def _named(
    node: ir.Node, form: Linear, arrays: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Moments]:
    """A node's moments by its name; nothing where it saw nothing."""
    return {str(node.name): Moments(form, **arrays)} if arrays else {}


def _packed(pairs: Sequence[QueryKey]) -> dict[str, npt.NDArray[Any]]:
    """Queries and keys as arrays."""
    return {
        f"{i} {part.name}": np.asarray(getattr(pair, part.name))
        for i, pair in enumerate(pairs)
        for part in fields(QueryKey)
    }


def _refusal(
    graph: Graph, node: ir.Node, largest: float, calibration: Calibration
) -> OnnxPruneError:
    how = "too large" if math.isfinite(largest) else "not finite"
    return OnnxPruneError(
        f"{graph.source}: what flows into {node.op_type} '{node.name}' is {how} with these inputs "
        f"({calibration.origin}); check their preprocessing."
    )


def _unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> list[QueryKey]:
    """The reverse."""
    parts: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        place, _, name = key.partition(" ")
        parts.setdefault(place, {})[name] = array if array.ndim else array.item()
    return [QueryKey(**values) for values in parts.values()]


def _mixing(node: ir.Node, graph: Graph) -> Linear | None:
    """A node as a product of activations; None if it is none, or filters channels one by one."""
    form = linear_of(node, graph)
    data = node.inputs[form.data] if form is not None else None
    if form is None or data is None or data.const_value is not None:
        return None
    return None if _columns(node, form) == form.owned and form.groups > 1 else form


def _columns(node: ir.Node, form: Linear) -> int:
    weight = node.inputs[form.weight]
    assert weight is not None
    assert weight.const_value is not None
    shape = weight.const_value.shape.numpy()
    positions = shape[form.weight_axis]
    return int(positions * form.owned // (form.groups if form.weight_axis == 0 else 1))


def _fitting(forms: Mapping[ir.Node, Linear], memory: int) -> set[ir.Node]:
    """The nodes whose covariances fit into memory, the small ones first."""
    sizes = {node: 8 * form.groups * _columns(node, form) ** 2 for node, form in forms.items()}
    fitting, total = set(), 0
    for node in sorted(sizes, key=lambda node: sizes[node]):
        total += sizes[node]
        if total <= memory:
            fitting.add(node)
    return fitting


class _Sums:
    """Sums over rows, of differences from the first batch's means."""

    def __init__(self, products: bool) -> None:
        self._products = products
        self._samples = 0

    def add(self, rows: npt.NDArray[np.floating]) -> None:
        """Take (groups, n, columns) rows."""
        rows = rows.astype(np.promote_types(rows.dtype, np.float32))  # half precision overflows
        if not self._samples:
            groups, _, columns = rows.shape
            self._shift = rows.mean(1, keepdims=True, dtype=np.float64)
            self._first, self._second, self._present = np.zeros((3, groups, columns))
            self._gram = np.zeros((groups, columns, columns if self._products else 0))
        moved = rows - self._shift.astype(rows.dtype)
        self._samples += rows.shape[1]
        self._first += moved.sum(1, dtype=np.float64)
        self._second += np.square(moved).sum(1, dtype=np.float64)
        self._present += np.count_nonzero(rows, axis=1)
        if self._products:
            self._gram += moved.swapaxes(1, 2) @ moved

    def moments(self) -> dict[str, Doubles]:
        """What the sums tell, as `Moments` has it; nothing if there were no rows."""
        if not self._samples:
            return {}
        first, second = self._first / self._samples, self._second / self._samples
        mean = first + self._shift[:, 0]
        square = np.maximum(second - first**2, 0) + mean**2
        found = {"mean": mean, "square": square, "present": self._present / self._samples}
        if self._products:
            across = first[:, :, None] * first[:, None, :]
            found["covariance"] = self._gram / self._samples - across
        return found
