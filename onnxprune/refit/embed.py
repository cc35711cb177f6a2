"""The original with the weights that a smaller model was given since it was pruned.

A refitted model cannot answer as the original does without the removed channels. It must answer as
the original does with the same weights in the same places, and that proves as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.errors import VerificationFailed
from onnxprune.graph import Graph
from onnxprune.graph.names import Namer, value_names
from onnxprune.ops import linear_of
from onnxprune.refit.write import AFTER, MARK
from onnxprune.rewrite import plan, prunings, read_record
from onnxprune.units import Units

__all__ = ["embedded", "refitted"]

Array = npt.NDArray[np.generic]
Slices = Mapping[int, Ids]
Said = Mapping[int, list[int] | list[list[int]]]


def refitted(original: Graph, pruned: Graph) -> list[ir.Value]:
    """The weights of a model that are not the original's.

    Those that were new in the original already are sliced like any other, unless they are new
    again.
    """
    before = prunings(original.model)
    again = prunings(pruned.model) > before
    return [
        value
        for value in pruned.initializers.values()
        if value.const_value is not None
        and MARK in (said := value.const_value.metadata_props)
        and not (again and said.get(AFTER, "") in tuple(map(str, range(before + 1))))
    ]


def embedded(units: Units, original: Graph, pruned: Graph) -> tuple[Graph, dict[str, str | Ids]]:
    """The original, at its full size, with the refitted weights of a smaller model.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        original: The original, or a copy of it with the same names.
        pruned: The smaller model.

    Returns:
        The graph, without shapes. And its new weights by name: the weight of the original whose
        removed slices are those of the new one too; or, where there is none, what is removed.

    Raises:
        VerificationFailed: If a refitted weight has no place in the original.
    """
    model = original.model.clone()
    embedder = _Embedder(units, model)
    before, record = read_record(original.model), read_record(pruned.model)
    for value in refitted(original, pruned):
        embedder.embed(value)
        if record is not None:
            held = before.kept.get(str(value.name), {}) if before is not None else {}
            embedder.check(value, held, record.kept.get(str(value.name), {}))
    return Graph(model, original.source, {}, {}), embedder.added


class _Embedder:
    def __init__(self, units: Units, model: ir.Model) -> None:
        self._units = units
        self._slices = plan(units).slices
        self._cut = units.cut()
        self._graph = model.graph
        self._nodes = {node.name: node for node in model.graph.all_nodes()}
        self._originals = {node.name: node for node in units.graph.nodes}
        self._namer = Namer(value_names(model))
        self.added: dict[str, str | Ids] = {}

    def embed(self, value: ir.Value) -> None:
        """Put one weight where the smaller model has it, in its full size."""
        assert value.const_value is not None
        new, name = value.const_value.numpy(), str(value.name)
        places = list(self._places(value))
        node, slot = places[0]
        old = node.inputs[slot] if slot < len(node.inputs) else None
        if old is not None and old.const_value is None:
            raise VerificationFailed(f"its weight '{name}' is computed in the original")
        if not np.issubdtype(new.dtype, np.inexact):
            raise VerificationFailed(f"its weight '{name}' is marked as refitted, and no weight")
        if old is not None and old.const_value is not None and not _spread(old, new):
            kept = self._slices.get(str(old.name), {})
            whole = old.const_value.numpy().astype(new.dtype)
        else:
            kept, whole = self._of_results(node, new, name)
            old = None
        full = _filled(whole, kept, new, name)
        if old is not None and {(use.node, use.idx) for use in old.uses()} == set(places):
            old.const_value = ir.tensor(full, name=old.name)
            return
        self._add(places, full, str(old.name) if old is not None else _gone(kept, len(full)))

    def check(self, value: ir.Value, held: Said, said: Said) -> None:
        """Whether a weight says that it holds what the choices leave.

        Raises:
            VerificationFailed: If it was made for others.
        """
        for axis, kept in self._slices.get(str(value.name), {}).items():
            left = np.array(held[axis])[..., kept] if axis in held and kept.ndim == 1 else kept
            if axis in said and not np.array_equal(left, np.array(said[axis])):
                raise VerificationFailed(
                    f"its weight '{value.name}' was fitted to other channels than the choices keep"
                )

    def _places(self, value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
        for use in value.uses():
            node = self._nodes.get(use.node.name)
            if node is None or node.op_type != use.node.op_type:
                raise VerificationFailed(
                    f"its weight '{value.name}' is refitted, and the original has no "
                    f"{use.node.op_type} '{use.node.name}' that it could belong to"
                )
            yield node, use.idx

    def _of_results(self, node: ir.Node, new: Array, name: str) -> tuple[Slices, Array]:
        """What stays of a bias that the original does not have, and what it would be."""
        twin = self._originals[node.name]
        form = linear_of(twin, self._units.graph)
        shape = self._units.graph.shape(twin.outputs[0])
        if form is None or shape is None or new.ndim != 1:
            raise VerificationFailed(f"its weight '{name}' has no place in the original")
        axis = self._units.labels.axes[twin.outputs[0]][form.channels]
        mask = self._cut.mask(axis)
        kept = {} if mask is None else {0: np.flatnonzero(mask)}
        return kept, np.zeros(shape[form.channels].size, new.dtype)

    def _add(self, places: list[tuple[ir.Node, int]], full: Array, removed: str | Ids) -> None:
        name = self._namer.unique(f"{places[0][0].name}_refitted")
        value = ir.Value(name=name, const_value=ir.tensor(full, name=name))
        value.dtype, value.shape = ir.DataType.from_numpy(full.dtype), ir.Shape(full.shape)
        self._graph.register_initializer(value)
        self.added[name] = removed
        for node, slot in places:
            if slot >= len(node.inputs):
                node.resize_inputs(slot + 1)
            node.replace_input_with(slot, value)


def _spread(old: ir.Value, new: Array) -> bool:
    """Whether a single number of the original has become one for each result."""
    return old.const_value is not None and old.const_value.size == 1 and new.ndim == 1 < new.size


def _filled(whole: Array, kept: Slices, new: Array, name: str) -> Array:
    """The whole weight with a smaller one where that was sliced from."""
    axes = [kept.get(axis, np.arange(size)) for axis, size in enumerate(whole.shape)]
    if [axis.shape[-1] for axis in axes] != list(new.shape):
        raise VerificationFailed(
            f"its weight '{name}' is of shape {list(new.shape)}, which is not what the choices "
            f"leave of {list(whole.shape)}"
        )
    places = list(np.ix_(*[axis if axis.ndim == 1 else np.arange(axis.shape[1]) for axis in axes]))
    if len(axes) > 1 and axes[1].ndim == 2:  # every row chooses its own
        places[1] = axes[1].reshape(*axes[1].shape, *[1] * (whole.ndim - 2))
    full = whole.copy()
    full[tuple(places)] = new
    return full


def _gone(kept: Slices, size: int) -> Ids:
    return np.setdiff1d(np.arange(size), kept.get(0, np.arange(size)))
