"""What a graph takes, and whether an array is that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Dim, Graph

__all__ = ["Input", "batch_size", "inputs_of"]


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a graph.

    Attributes:
        name: Its name.
        dtype: The type of its elements.
        dims: Its dimensions; samples are on the first.
    """

    name: str
    dtype: ir.DataType
    dims: tuple[Dim, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes of its dimensions, None for a dynamic one."""
        return tuple(None if dim.dynamic else dim.size for dim in self.dims)

    def fit(self, array: npt.NDArray[np.generic], where: str) -> npt.NDArray[np.generic]:
        """An array as this input takes it: another float or integer type is converted.

        Args:
            array: Samples on the first axis, any number of them.
            where: What the array is of, for the error.

        Raises:
            OnnxPruneError: If its rank, a size or its kind of numbers is another one, or an
                integer does not fit.
        """
        wanted = self.dtype.numpy()
        sizes = zip(self.shape[1:], array.shape[1:], strict=False)
        if array.ndim != len(self.dims) or any(want not in (None, size) for want, size in sizes):
            raise OnnxPruneError(f"{where}: {self} does not take {_told(array)}; change its shape")
        if array.dtype == wanted:
            return array
        floats = self.dtype.is_floating_point() and array.dtype.kind == "f"
        whole = self.dtype.is_integer() and array.dtype.kind in "iu"
        if not floats and not whole:
            raise OnnxPruneError(f"{where}: {self} does not take {_told(array)}; convert it")
        if whole and array.size:
            limits = np.iinfo(wanted)
            if array.min() < limits.min or array.max() > limits.max:
                raise OnnxPruneError(
                    f"{where}: {self} does not hold the integers {array.min()} to {array.max()}"
                )
        return array.astype(wanted)

    def __str__(self) -> str:
        return f"input '{self.name}', {self.dtype.name.lower()} ({', '.join(map(str, self.dims))}),"


def _told(array: npt.NDArray[np.generic]) -> str:
    return f"{array.dtype} ({', '.join(map(str, array.shape))})"


def inputs_of(graph: Graph) -> tuple[Input, ...]:
    """What the graph takes, in its order.

    Raises:
        OnnxPruneError: If there is nothing, or an input is of unknown shape, or of strings.
    """
    inputs = []
    for value in graph.inputs:
        dims, dtype = graph.shape(value), value.dtype
        if dims is None or dtype is None or dtype == ir.DataType.STRING:
            what = "of unknown shape" if dims is None else "neither numbers nor booleans"
            raise OnnxPruneError(
                f"{graph.source}: its input '{value.name}' is {what}, which no data fit; export "
                f"the model with the shapes of its inputs, as numbers"
            )
        inputs.append(Input(value.name or "", dtype, dims))
    if not inputs:
        raise OnnxPruneError(f"{graph.source}: the model takes no inputs")
    return tuple(inputs)


def batch_size(inputs: Sequence[Input], asked: int) -> tuple[int, bool]:
    """How many samples a batch has, and whether the graph takes no other number.

    Args:
        inputs: What the graph takes; one without axes is the same for all samples.
        asked: The number where the graph leaves it open.

    Raises:
        OnnxPruneError: If it is not positive, or the inputs differ in their number of samples.
    """
    if asked < 1:
        raise OnnxPruneError(f"A batch of {asked} samples is none; give 1 or more")
    fixed = {item.name: item.shape[0] for item in inputs if item.dims}
    sizes = {size: name for name, size in fixed.items() if size is not None}
    if len(sizes) > 1:
        told = " and ".join(f"'{name}' ({size})" for size, name in sizes.items())
        raise OnnxPruneError(
            f"The inputs {told} differ in their first axis, so that it cannot be that of the "
            f"samples; give a Calibration of your own feeds"
        )
    return (next(iter(sizes)), True) if sizes else (asked, False)
