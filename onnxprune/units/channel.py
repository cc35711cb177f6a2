"""One unit's footprint on one axis of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.labels import Blocks
from onnxprune.ops.stored import numbers

__all__ = ["Channel", "Elements"]

Elements = npt.NDArray[np.float64]

_BLOCK = 1 << 18
"""Elements of a weight that are looked at together."""


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """Where a unit's channels lie in one tensor of one node.

    Attributes:
        name: The module: the tensor's name without ``.weight``, or the node's name.
        node: The name of the node that reads the tensor.
        op: The operator of that node.
        tensor: The tensor as the node reads it.
        axis: The axis of the tensor.
        positions: (num_channels, repeats) row i holds the indices of channel i on that axis; where
            groups choose by themselves, counted through all groups.
        is_output_channel: Whether the node produces the channels (else it consumes them); one that
            hands them through stands on both sides of its unit.
        blocks: The groups of a weight in which every group chooses by itself.
    """

    name: str
    node: str
    op: str
    tensor: ir.Value
    axis: int
    positions: Ids
    is_output_channel: bool
    blocks: Blocks | None = None

    @property
    def num_channels(self) -> int:
        """The number of channels."""
        return len(self.positions)

    @property
    def index(self) -> tuple[int, int]:
        """The half-open range of the axis within which all positions lie."""
        return int(self.positions.min()), int(self.positions.max()) + 1

    @property
    def expand_ratio(self) -> int:
        """How many positions each channel has."""
        return int(self.positions.shape[1])

    def reduce(self, score: Callable[[Elements], Elements]) -> Elements | None:
        """A score of what each channel owns of the tensor, a few channels at a time.

        Args:
            score: From (channels, elements) weights to (channels,) scores.

        Returns:
            (num_channels,) scores, None for a tensor that is computed while the model runs.
            Quantised weights count as what they stand for.
        """
        array = numbers(self.tensor)
        if array is None:
            return None
        array = np.moveaxis(array, self.axis, 0) if self.blocks is None else self._by_group(array)
        owned = self.expand_ratio * max(1, array[0].size)
        scores = [
            score(array[rows].reshape(len(rows), -1).astype(np.float64))
            for rows in np.array_split(self.positions, math.ceil(len(array) * owned / _BLOCK))
            if len(rows)
        ]
        return np.concatenate(scores)

    def _by_group(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The weight with the positions of all groups on its first axis."""
        assert self.blocks is not None
        groups, places = self.blocks.atoms.shape
        array = array[np.argsort(self.blocks.group, kind="stable")]
        array = array.reshape(groups, -1, places, *array.shape[2:]).swapaxes(1, 2)
        return array.reshape(groups * places, *array.shape[2:])

    def __str__(self) -> str:
        return (
            f"Channel({self.name}, index={self.index}, "
            f"is_output_channel={str(self.is_output_channel).lower()}, "
            f"expand_ratio={self.expand_ratio})"
        )
