"""What a pruned model takes and gives, where its inputs and outputs were allowed to shrink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut
from onnxprune.units import Units

__all__ = ["Border"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
Masks = Mapping[str, Mapping[int, npt.NDArray[np.bool_]]]


class Border:
    """The inputs and outputs of a graph under the units' current choices.

    Args:
        units: The units; most have none that reach an input or output.
    """

    def __init__(self, units: Units) -> None:
        cut = units.cut()
        self._taken = _masks(cut, units.graph.inputs)
        self._given = _masks(cut, units.graph.outputs)

    def removed(self) -> dict[str, Mapping[int, Ids]]:
        """Input -> axis -> the indices that are gone."""
        return {
            name: {axis: np.flatnonzero(~mask) for axis, mask in masks.items()}
            for name, masks in self._taken.items()
        }

    def fed(self, feeds: Arrays) -> dict[str, npt.NDArray[np.generic]]:
        """What the pruned graph takes, of what the original does."""
        return _sliced(feeds, self._taken)

    def given(self, outputs: Arrays) -> dict[str, npt.NDArray[np.generic]]:
        """What the pruned graph gives, of what the original does; what has shrunk already stays."""
        return _sliced(outputs, self._given)


def _masks(cut: Cut, values: Sequence[ir.Value]) -> Masks:
    found: dict[str, dict[int, npt.NDArray[np.bool_]]] = {}
    for value in values:
        axes = {i: cut.mask(axis) for i, axis in cut.axes(value)}
        kept = {i: mask for i, mask in axes.items() if mask is not None}
        if kept:
            found[str(value.name)] = kept
    return found


def _sliced(arrays: Arrays, masks: Masks) -> dict[str, npt.NDArray[np.generic]]:
    sliced = dict(arrays)
    for name in masks.keys() & arrays.keys():
        for axis, mask in masks[name].items():
            if sliced[name].shape[axis] == len(mask):
                sliced[name] = np.compress(mask, sliced[name], axis)
    return sliced
