"""All units of a graph, and what their choices leave of it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut
from onnxprune.axes.labels import Barrier, Labels
from onnxprune.errors import ChoiceError
from onnxprune.graph.dtypes import is_weight
from onnxprune.graph.graph import Graph
from onnxprune.units.unit import MutableChannelUnit

__all__ = ["Units"]


class Units(Sequence[MutableChannelUnit]):
    """The units of a graph in topological order, by position or by name.

    Attributes:
        labels: The labels they come from.
    """

    def __init__(self, labels: Labels, units: Sequence[MutableChannelUnit]) -> None:
        self.labels = labels
        self._units = list(units)
        self._names = {unit.name: unit for unit in units}

    @property
    def graph(self) -> Graph:
        """The graph of the units."""
        return self.labels.graph

    @overload
    def __getitem__(self, key: int | str) -> MutableChannelUnit: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[MutableChannelUnit]: ...
    def __getitem__(
        self, key: int | str | slice
    ) -> MutableChannelUnit | Sequence[MutableChannelUnit]:
        if not isinstance(key, str):
            return self._units[key]
        if key not in self._names:
            near = difflib.get_close_matches(key, self._names, 3, 0.3)
            hint = f"; near are: {', '.join(near)}" if near else ""
            raise ChoiceError(f"The model has no unit '{key}'{hint}.")
        return self._names[key]

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[MutableChannelUnit]:
        return iter(self._units)

    def replace(self, unit: MutableChannelUnit) -> None:
        """Put a unit in the place of the one of its name: another kind of the same channels."""
        self._units[self._units.index(self[unit.name])] = unit
        self._names[unit.name] = unit

    @property
    def mutable(self) -> list[MutableChannelUnit]:
        """The units that may lose channels."""
        return [unit for unit in self._units if unit.is_mutable]

    def reset(self) -> None:
        """Let every unit keep all of its channels."""
        for unit in self._units:
            unit.set_mask(np.ones(unit.num_channels, bool))

    def keep(self) -> npt.NDArray[np.bool_]:
        """(atoms,) whether the units' choices keep each atom."""
        keep = np.ones(len(self.labels.atoms), bool)
        for unit in self.mutable:
            unit.check_mask(unit.mask)
            keep[unit.atoms[~unit.mask]] = False
        return keep

    def cut(self) -> Cut:
        """What the units' choices leave of the graph."""
        return Cut(self.labels, self.keep())

    def prunable_share(self) -> float:
        """The fraction of parameters that some choice could remove, between 0 and 1."""
        total = prunable = 0.0
        for value in self.graph.initializers.values():
            if not is_weight(value.dtype):
                continue
            size = 1
            for dim in self.graph.shape(value) or ():
                size *= dim.size
            fixed = 1.0
            for _, living in self.labels.living(value):
                fixed *= 1 - float(living.mean())
            total += size
            prunable += size * (1 - fixed)
        return prunable / total if total else 0.0

    def barriers(self) -> list[Barrier]:
        """What keeps parts of the weights whole, first what holds units in topological order."""
        found = dict.fromkeys(unit.barrier for unit in self._units if unit.barrier is not None)
        atoms = self.labels.atoms
        weights = (self.labels.axes.get(v, ()) for v in self.graph.initializers.values())
        for axes in (axes for axes in weights if len(axes) > 1):  # the rest follows these
            for factor in itertools.chain.from_iterable(axes):
                if factor.label is not None:
                    reasons = np.unique(atoms.why(atoms.expand(factor.label)))
                    found |= dict.fromkeys(self.labels.barriers[i] for i in reasons if i >= 0)
        return [barrier for barrier in found if barrier.kind != "whole"]

    def empty(self) -> Iterator[tuple[ir.Value, Ids]]:
        """Tensors of which the choices would leave nothing, with the label at fault."""
        cut = self.cut()
        for value in self.labels.axes:
            for _, axis in cut.axes(value):
                for factor in axis:
                    rows = cut.rows(factor.label)
                    if rows is not None and factor.label is not None and not rows.any():
                        yield value, factor.label
