"""What the pruned model must answer: the original, full-size, without the removed channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes import Ids
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.ops.stored import is_parameter, zero_of
from onnxprune.registry import Registry
from onnxprune.rewrite import plan
from onnxprune.runtime.feeds import Feeds
from onnxprune.runtime.session import first_line, open_session
from onnxprune.units import Units
from onnxprune.verification.border import Border

__all__ = [
    "ARBITERS",
    "REFERENCES",
    "CannotAnswer",
    "Outputs",
    "Removed",
    "reference",
    "removed_slices",
    "why_inexact",
    "zero_masked",
]

Outputs = dict[str, npt.NDArray[np.generic]]
Mask = npt.NDArray[np.bool_]
Removed = Mapping[str, Mapping[int, Ids] | Mask]
Answerer = Callable[[Feeds, Removed], Outputs]
Reference = Callable[[Graph], Answerer]


class CannotAnswer(OnnxPruneError):
    """A reference cannot run this model."""


REFERENCES: Registry[Reference] = Registry("reference")
reference = REFERENCES.register

Arbiter = Callable[[Graph, Removed, Graph], Callable[[Feeds], tuple[Outputs, Outputs]]]

ARBITERS: Registry[Arbiter] = Registry("arbiter")
"""Where float32 rounding is in doubt: what the pruned graph and its reference answer in float64."""


@reference("zero-masking")
class ZeroMasking:
    """Removed slices of the weights are zero, in onnxruntime; see `why_inexact` for its limits."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names = [value.name or "" for value in graph.outputs]
        self._removed: Removed | None = None

    def __call__(self, feeds: Feeds, removed: Removed) -> Outputs:
        """What the original answers with these slices zero."""
        feeds = {name: _without(feed, removed.get(name)) for name, feed in feeds.items()}
        if self._removed is not removed:  # one session serves every run of the same choice
            self._removed, self._session = removed, open_session(zero_masked(self._graph, removed))
        try:
            answers = self._session.run(self._names, feeds)
        except Exception as error:  # sizes that depend on what the masked weights make of the input
            raise CannotAnswer(f"the masked original does not run: {first_line(error)}") from None
        return dict(zip(self._names, answers, strict=True))


def zero_masked(graph: Graph, removed: Removed) -> Graph:
    """The graph, at its full size, with removed slices of its weights zero; without shapes.

    What is quantised is set to its zero point; scales and zero points stay as they are.
    """
    model = graph.model.clone()
    zeroed = {}
    for name, axes in removed.items():
        value = model.graph.initializers.get(name)  # None for an input, which is fed zeros
        if value is not None and not is_parameter(value):
            zeroed[value] = _zeroed(value, axes)
    for value, tensor in zeroed.items():
        value.const_value = tensor
    return Graph(model, graph.source, {}, {})


def _without(
    feed: npt.NDArray[np.generic], gone: Mapping[int, Ids] | Mask | None
) -> npt.NDArray[np.generic]:
    """An input with zeros where it loses indices."""
    if not isinstance(gone, Mapping):
        return feed
    fed = feed.copy()
    for axis, indices in gone.items():
        fed[(slice(None),) * axis + (indices,)] = 0
    return fed


def _zeroed(value: ir.Value, axes: Mapping[int, Ids] | Mask) -> ir.TensorProtocol:
    whole = value.const_value
    assert whole is not None
    zero = zero_of(value)

    def read() -> ir.TensorProtocol:
        array = whole.numpy().copy()
        zeros = np.broadcast_to(zero, array.shape)
        if isinstance(axes, np.ndarray):
            array[axes] = zeros[axes]
            return ir.Tensor(array, dtype=whole.dtype, name=value.name)
        for axis, indices in axes.items():
            place = (slice(None),) * axis + (indices,)
            array[place] = zeros[place]
        return ir.Tensor(array, dtype=whole.dtype, name=value.name)

    shape = ir.Shape(whole.shape.numpy())
    return ir.LazyTensor(read, dtype=whole.dtype, shape=shape, name=value.name)


def removed_slices(units: Units) -> Removed:
    """What the units' current choices remove of each initializer, and of inputs that may shrink.

    Returns:
        Initializer or input -> axis -> the removed indices; or, for a weight whose groups choose
        by themselves, a mask of what is removed.

    Raises:
        ChoiceError: If the choices would leave nothing of some tensor.
    """
    removed: dict[str, Mapping[int, Ids] | Mask] = {**Border(units).removed()}
    for name, axes in plan(units).slices.items():
        sizes = [d.size for d in units.graph.shape(units.graph.initializers[name]) or ()]
        if all(kept.ndim == 1 for kept in axes.values()):
            removed[name] = {
                axis: np.setdiff1d(np.arange(sizes[axis]), kept) for axis, kept in axes.items()
            }
            continue
        rows = axes.get(0, np.arange(sizes[0]))
        gone = np.ones((*sizes[:2], *[1] * len(sizes[2:])), bool)
        gone[rows[:, None], axes[1]] = False
        removed[name] = np.broadcast_to(gone, sizes)
    return removed


def why_inexact(units: Units) -> Iterator[str]:
    """Why zero instead of missing would change the answer: statistics over removed channels, and
    products of two activations over them."""
    cut = units.cut()
    weights = set(units.graph.initializers.values())
    for node in units.graph.nodes:  # weights that are dequantised, cast or transposed first
        if all(value in weights for value in node.inputs if value is not None):
            weights.update(node.outputs)
    for node, bound in units.labels.bound.items():
        where = f"{node.op_type} '{node.name}'"
        sentence = bound.rule.parsed
        for name, axis in bound.names.items():
            if all(cut.rows(factor.label) is None for factor in axis):
                continue
            if name in sentence.statistic:
                yield f"{where} takes a statistic over removed channels"
            elif name in sentence.contracted and not any(
                value in weights
                for value, operand in zip(node.inputs, bound.binding.inputs, strict=False)
                if any(term.text == name for ax in operand or () for term in ax.terms())
            ):
                yield f"{where} multiplies two activations over removed channels"
