"""How channels vary together, as far as the weights alone tell.

What a product takes is guessed to be white: independent, of mean 0 and variance 1. Then what it
gives is normal, its covariance the Gram matrix of the rows of its weight, its mean the bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.labels import Labels
from onnxprune.ops import RULES, Linear, linear_of, operator_name
from onnxprune.ops.elementwise import elementwise
from onnxprune.ops.linear import Scale

__all__ = ["Guess", "Guesses"]

Doubles = npt.NDArray[np.float64]

_MOST = 4096
"""Channels of a tensor; beyond that their correlations are not worth the memory."""

_ODD = frozenset(
    [
        *("AveragePool", "CenterCropPad", "DepthToSpace", "Expand", "Flatten", "Gather"),
        *("GatherElements", "GatherND", "GlobalAveragePool", "LpNormalization"),
        *("MeanVarianceNormalization", "Pad", "ReduceMean", "ReduceSum", "Reshape", "Resize"),
        *("Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
        *("Upsample", "com.microsoft::ExpandDims"),
    ]
)
"""Operators that move, average and scale: opposite channels stay so. Not behind a maximum, a norm
or an exponential, which are led by what is far above 0."""

_ORDER = 16
_POINTS = np.linspace(-10, 10, 321)
_WEIGHTS = np.exp(-np.square(_POINTS) / 2)
_WEIGHTS /= _WEIGHTS.sum()


def _hermite() -> Doubles:
    """(order + 1, points) the normalised Hermite polynomials at the points."""
    rows = [np.ones_like(_POINTS), _POINTS]
    for k in range(1, _ORDER):
        rows.append((_POINTS * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1))
    return np.stack(rows)


_HERMITE = _hermite()


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """Channels as functions of standard normal variables, one for each channel.

    Attributes:
        axis: The axis of the value that they lie on.
        repeats: How many consecutive indices of it each of them has.
        points: (points, channels) the functions, at evenly spaced points.
        correlation: (channels, channels) of the variables.
    """

    axis: int
    repeats: int
    points: Doubles
    correlation: Doubles

    @classmethod
    def normal(cls, axis: int, mean: Doubles, covariance: Doubles) -> Guess:
        """Channels that are normal themselves."""
        spread = np.sqrt(np.maximum(np.diagonal(covariance), 0))
        scale = np.where(spread > 0, spread, 1)
        correlation = np.clip(covariance / scale / scale[:, None], -1, 1)
        return cls(axis, 1, mean + spread * _POINTS[:, None], correlation)

    @property
    def channels(self) -> int:
        """The number of channels."""
        return len(self.correlation)

    @property
    def finite(self) -> bool:
        """Whether all of it is."""
        return bool(np.isfinite(self.points).all() and np.isfinite(self.correlation).all())

    @property
    def mean(self) -> Doubles:
        """(channels,) the means."""
        return np.asarray(_WEIGHTS @ self.points)

    @property
    def covariance(self) -> Doubles:
        """(channels, channels) by Mehler's formula: a power of the correlation for each degree.

        For a ReLU of mean 0 this is the arc-cosine kernel (Cho & Saul, NIPS 2009). What the degrees
        that are left out hold of the variance goes with the last, so copies stay copies.
        """
        parts = _HERMITE @ (_WEIGHTS[:, None] * self.points)
        rest = _WEIGHTS @ self.points**2 - np.square(parts).sum(axis=0)
        covariance, power = np.zeros_like(self.correlation), np.ones_like(self.correlation)
        for part in (*parts[1:], np.sqrt(np.maximum(rest, 0))):
            power = power * self.correlation
            covariance += power * part * part[:, None]
        return covariance


class Guesses(Mapping[ir.Value, Guess]):
    """What is guessed of the values of a graph, forgotten when nothing takes them any more.

    Args:
        labels: The labels of the graph: they tell where channels go that an operator hands through.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels, self._graph = labels, labels.graph
        self._known: dict[ir.Value, Guess] = {}

    def __getitem__(self, value: ir.Value) -> Guess:
        return self._known[value]

    def __iter__(self) -> Iterator[ir.Value]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def walk(self) -> Iterator[ir.Node]:
        """The nodes of the main graph in order, at a time when it is known what they take."""
        last = {v: node for node in self._graph.model.graph for v in node.inputs if v is not None}
        for node in self._graph.model.graph:
            yield node
            for result in node.outputs:
                if not any(True for _ in self._labels.living(result)):
                    continue
                with np.errstate(all="ignore"):
                    guess = self._given(node, result)
                if guess is not None and guess.finite:
                    self._known[result] = guess
            for value in node.inputs:
                if value is not None and last[value] is node:
                    self._known.pop(value, None)

    def _given(self, node: ir.Node, result: ir.Value) -> Guess | None:
        form = linear_of(node, self._graph)
        if form is not None:  # what else it gives is no product
            rank = len(self._labels.axes[result])
            return self._product(node, form, rank) if result is node.outputs[0] else None
        taken = [value for value in node.inputs if value in self._known]
        if not taken:
            return None
        if operator_name(node) == "Concat":
            return self._joined(node, result)
        if RULES.find(operator_name(node)) is not elementwise:
            others = [v for v in node.inputs if v is not None and v is not taken[0]]
            alone = not any(True for v in others for _ in self._labels.living(v))
            guess = self._known[taken[0]]
            if operator_name(node) not in _ODD:
                guess = replace(guess, points=np.maximum(guess.points, 0))
            return self._handed(guess, taken[0], result) if alone else None
        if any(v is not None and v.const_value is None and v not in taken for v in node.inputs):
            return None
        guesses = [self._known[value] for value in taken]
        if all(guess.correlation is guesses[0].correlation for guess in guesses):
            return self._mapped(node, guesses[0], len(self._labels.axes[result]))
        return _met(node, guesses)

    def _product(self, node: ir.Node, form: Linear, rank: int) -> Guess | None:
        """Rows of a weight that meet white data; filters of single channels, what is guessed."""
        weight, data = node.inputs[form.weight], node.inputs[form.data]
        assert weight is not None
        assert weight.const_value is not None
        matrix = form.matrix(weight.const_value.numpy().astype(np.float64))
        groups, columns, results = matrix.shape
        if groups * results > _MOST:
            return None
        axis, mean, covariance = form.channels % rank, np.zeros(groups), np.eye(groups)
        guess = self._known.get(data) if data is not None and columns == form.owned else None
        if guess is not None and (guess.axis, guess.repeats, guess.channels) == (axis, 1, groups):
            mean, covariance = guess.mean, guess.covariance
            if isinstance(form, Scale):  # its own statistics are the true ones
                mean, covariance = np.zeros(groups), _correlation(covariance)
        rows = matrix.swapaxes(1, 2).reshape(groups * results, columns)
        source = np.repeat(np.arange(groups), results)
        given = rows @ rows.T * covariance[np.ix_(source, source)]
        offset = rows.sum(axis=1) * mean[source] + _bias(node, form, len(rows))
        return Guess.normal(axis, offset, given)

    def _mapped(self, node: ir.Node, guess: Guess, rank: int) -> Guess | None:
        """An element-wise function of channels and constants, computed at the points."""
        if not 0 < guess.axis < rank:
            return None
        shape = [len(guess.points), *[1] * (rank - 1)]
        shape[guess.axis] = guess.channels
        feeds = {}
        for value in filter(None, node.inputs):
            array = None if value.const_value is None else value.const_value.numpy()
            if array is None:
                array = self._known[value].points.reshape(shape)
            floats = np.issubdtype(array.dtype, np.floating)
            feeds[str(value.name)] = array.astype(np.float64) if floats else array
        found = _computed(node, feeds, self._graph.model.opset_imports)
        if found is None or list(found.shape) != shape:
            return None
        return replace(guess, points=found.reshape(guess.points.shape).astype(np.float64))

    def _handed(self, guess: Guess, taken: ir.Value, result: ir.Value) -> Guess | None:
        """Channels that an operator hands through, on the axis where they are found again."""
        wanted = self._rows(taken, guess.axis)
        place = {row.tobytes(): i for i, row in enumerate(wanted)}
        for axis in range(len(self._labels.axes[result])):
            rows = self._rows(result, axis)
            if not wanted.any() or rows.shape[1:] != wanted.shape[1:]:
                continue
            repeats = len(rows) // len(wanted)
            if np.array_equal(rows, np.repeat(wanted, repeats, axis=0)):
                return replace(guess, axis=axis, repeats=guess.repeats * repeats)
            picked = [place.get(row.tobytes(), -1) for row in rows]
            if len(place) == len(wanted) == guess.channels and min(picked) >= 0:
                points, some = guess.points[:, picked], np.ix_(picked, picked)
                return Guess(axis, 1, points, guess.correlation[some])
        return None

    def _joined(self, node: ir.Node, result: ir.Value) -> Guess | None:
        """Channels side by side; those of which nothing is known are white."""
        axis = node.attributes["axis"].as_int() % len(self._labels.axes[result])
        parts: list[Guess] = []
        for value in filter(None, node.inputs):
            shape = self._graph.shape(value)
            size = None if shape is None or shape[axis].dynamic else shape[axis].size
            guess = self._known.get(value)
            if guess is None and size is not None and size <= _MOST:
                guess = Guess.normal(axis, np.zeros(size), np.eye(size))
            if guess is None or (guess.axis, guess.repeats) != (axis, 1):
                return None
            parts.append(guess)
        ends = np.cumsum([part.channels for part in parts])
        if ends[-1] > _MOST:
            return None
        correlation = np.zeros((ends[-1], ends[-1]))
        for part, end in zip(parts, ends, strict=True):
            own = slice(end - part.channels, end)
            correlation[own, own] = part.correlation
        return Guess(axis, 1, np.hstack([part.points for part in parts]), correlation)

    def _rows(self, value: ir.Value, axis: int) -> npt.NDArray[np.int64]:
        """(size, k) the atoms of each index of an axis; of none, zeros."""
        factors = self._labels.axes[value][axis]
        rows: npt.NDArray[np.int64] = np.zeros((1, 0), np.int64)
        for factor in factors:
            label = np.zeros((factor.size, 0), np.int64)
            if factor.label is not None:
                label = self._labels.resolved(factor.label)
            rows = np.hstack([np.repeat(rows, len(label), axis=0), np.tile(label, (len(rows), 1))])
        return rows


def _computed(
    node: ir.Node, feeds: Mapping[str, npt.NDArray[np.generic]], versions: Mapping[str, int]
) -> npt.NDArray[np.generic] | None:
    """What one node gives, by the reference of ONNX; None if it cannot."""
    from onnx import ValueInfoProto, helper
    from onnx.reference import ReferenceEvaluator

    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    output = ValueInfoProto(name=str(node.outputs[0].name))
    graph = helper.make_graph([ir.to_proto(node)], "node", inputs, [output])
    sets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    try:
        model = helper.make_model(graph, opset_imports=sets)
        return np.asarray(ReferenceEvaluator(model).run(None, dict(feeds))[0])
    except Exception:  # whatever an odd node makes of the points, nothing is known then
        return None


def _met(node: ir.Node, guesses: list[Guess]) -> Guess | None:
    """Channels that come together with independent ones: sums, and what gates scale."""
    first = guesses[0]
    places = {(g.axis, g.repeats, g.channels) for g in guesses}
    if len(places) > 1 or first.repeats > 1 or len(guesses) < len(node.inputs):
        return None
    means, covariances = [g.mean for g in guesses], [g.covariance for g in guesses]
    if node.op_type in ("Add", "Sum"):
        return Guess.normal(
            first.axis, sum(means[1:], means[0]), sum(covariances[1:], covariances[0])
        )
    if node.op_type != "Mul":
        return None
    mean = np.prod(means, axis=0)
    second = np.prod([c + np.outer(m, m) for m, c in zip(means, covariances, strict=True)], axis=0)
    return Guess.normal(first.axis, mean, second - np.outer(mean, mean))


def _correlation(covariance: Doubles) -> Doubles:
    return Guess.normal(0, np.zeros(len(covariance)), covariance).correlation


def _bias(node: ir.Node, form: Linear, results: int) -> Doubles:
    slot = len(node.inputs) if form.bias is None else form.bias
    value = node.inputs[slot] if slot < len(node.inputs) else None
    if value is None or value.const_value is None or value.const_value.size not in (1, results):
        return np.zeros(results)
    return np.resize(value.const_value.numpy().astype(np.float64), results)
