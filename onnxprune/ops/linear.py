"""Operators that multiply rows of their input with a weight, as the matrix product that they are.

``results = rows @ matrix + bias``, by groups. A convolution's row is what its kernel covers, the
channels outermost, so a channel owns consecutive columns.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.ops.view import Op, Unknown
from onnxprune.registry import Registry

__all__ = ["LINEARS", "Convolution", "Linear", "Product", "linear"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Linear(ABC):
    """A node as a product of matrices.

    Attributes:
        data: The input that holds the rows.
        weight: The input that holds the matrix.
        bias: The input that the bias of each result is or may be, None where it takes none.
        channels: The axis of what it gives that runs over the results, counted from the end.
        groups: How many products it is, each of its own columns and results.
        owned: The consecutive columns that one index of `weight_axis` owns.
        weight_axis: The axis of the weight that runs over the columns.
    """

    data: int
    weight: int
    bias: int | None
    channels: int
    groups: int
    owned: int
    weight_axis: int

    @abstractmethod
    def rows(self, data: Array, results: Sequence[int], picked: Ids) -> Array:
        """(groups, n, columns) rows of what the node takes.

        Args:
            data: What the node takes.
            results: The shape of what it gives.
            picked: (n,) which results, counted through all axes but that of the channels.
        """

    @abstractmethod
    def matrix(self, weight: Array) -> Array:
        """(groups, columns, results) the matrix that a weight is."""

    @abstractmethod
    def stored(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The reverse of `matrix`: the weight, of a shape."""

    def results(self, given: Array, picked: Ids) -> Array:
        """(groups, n, results) rows of what the node gives."""
        last = np.moveaxis(given, self.channels, -1)
        flat = last.reshape(-1, last.shape[-1])[picked]
        return np.ascontiguousarray(flat.reshape(len(picked), self.groups, -1).swapaxes(0, 1))

    def some(self, results: Sequence[int], positions: int, random: np.random.Generator) -> Ids:
        """(n,) rows of what it gives, counted through all axes but that of the channels.

        Args:
            results: The shape of what it gives.
            positions: At most how many of each sample.
            random: Picks them.
        """
        count = math.prod(results) // results[self.channels]
        most = min(count, results[0] * positions)
        return np.sort(random.choice(count, most, replace=False))

    def columns(self, positions: Ids, size: int) -> tuple[Ids, Ids]:
        """The group and the columns, each (..., owned), of positions on `weight_axis`.

        Args:
            positions: Positions, counted through all groups.
            size: How many there are in each group.
        """
        first = positions % size * self.owned
        columns = first[..., None] + np.arange(self.owned)
        return np.broadcast_to((positions // size)[..., None], columns.shape), columns


LINEARS: Registry[Callable[[Op], Linear]] = Registry("linear")
linear = LINEARS.register


@dataclass(frozen=True, slots=True)
class Product(Linear):
    """A matrix product with a weight of two axes.

    Attributes:
        transposed: Whether the weight is (results, columns).
    """

    transposed: bool = False

    def rows(self, data: Array, results: Sequence[int], picked: Ids) -> Array:
        """(1, n, columns) vectors along the last axis."""
        return np.asarray(data.reshape(-1, data.shape[-1])[picked][None])

    def matrix(self, weight: Array) -> Array:
        """(1, columns, results)."""
        return np.asarray((weight.T if self.transposed else weight)[None])

    def stored(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The reverse."""
        return np.ascontiguousarray(matrix[0].T if self.transposed else matrix[0]).reshape(shape)


@dataclass(frozen=True, slots=True)
class Convolution(Linear):
    """A convolution of any rank, or its transpose.

    Attributes:
        kernel: Its size along each spatial axis.
        strides: The step of the kernel, for each axis.
        dilations: The step between what the kernel covers.
        pads: Zeros before each axis, None where ``auto_pad`` decides by the sizes.
        auto_pad: How, empty where it does not.
        added: What a transposed convolution adds after each axis.
        transposed: Whether it is a transposed convolution.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...] | None
    auto_pad: str
    added: tuple[int, ...]
    transposed: bool = False

    def rows(self, data: Array, results: Sequence[int], picked: Ids) -> Array:
        """(groups, n, channels * taps) what the kernel covers, zeros at the border included."""
        spatial = tuple(results[2:])
        sample, *places = np.unravel_index(picked, (results[0], *spatial))
        sources = [self._sources(a, p, data.shape, spatial) for a, p in enumerate(places)]
        rank, count = len(spatial), len(picked)
        index = [sample.reshape(-1, *[1] * rank)]
        inside = np.ones((count, *[1] * rank), bool)
        for axis, (source, valid) in enumerate(sources):
            shape = (count, *[-1 if a == axis else 1 for a in range(rank)])
            index.append(source.reshape(shape))
            inside = inside & valid.reshape(shape)
        windows = np.moveaxis(data, 1, -1)[tuple(index)] * inside[..., None]
        windows = windows.reshape(count, math.prod(self.kernel), self.groups, -1)
        return np.ascontiguousarray(windows.transpose(2, 0, 3, 1)).reshape(self.groups, count, -1)

    def _sources(
        self, axis: int, places: Ids, data: Sequence[int], spatial: Sequence[int]
    ) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """(n, kernel) which input each tap of the kernel meets, and whether there is one."""
        size, stride = data[2 + axis], self.strides[axis]
        taps = np.arange(self.kernel[axis]) * self.dilations[axis]
        pad = self._pad(axis, size, spatial[axis])
        if not self.transposed:
            source = places[:, None] * stride - pad + taps
            valid = (source >= 0) & (source < size)
        else:
            reached = places[:, None] + pad - taps
            source = reached // stride
            valid = (reached % stride == 0) & (source >= 0) & (source < size)
        return np.clip(source, 0, size - 1), valid

    def _pad(self, axis: int, size: int, result: int) -> int:
        if self.pads is not None:
            return self.pads[axis]
        reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        if self.transposed:
            total = (size - 1) * self.strides[axis] + self.added[axis] + reach - result
        else:
            total = (result - 1) * self.strides[axis] + reach - size
        total = max(total, 0)
        return total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2

    def matrix(self, weight: Array) -> Array:
        """(groups, channels * taps, results)."""
        taps, second = math.prod(self.kernel), weight.shape[1]
        if self.transposed:  # (g c) o taps
            by_tap = weight.reshape(self.groups, -1, second, taps).transpose(0, 1, 3, 2)
            return np.asarray(by_tap.reshape(self.groups, -1, second))
        rows = weight.reshape(self.groups, -1, second * taps)  # (g o) c taps
        return np.asarray(rows.swapaxes(1, 2))

    def stored(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The reverse."""
        taps = math.prod(self.kernel)
        if self.transposed:
            split = matrix.reshape(self.groups, -1, taps, matrix.shape[-1]).transpose(0, 1, 3, 2)
            return np.ascontiguousarray(split).reshape(shape)
        return np.ascontiguousarray(matrix.swapaxes(1, 2)).reshape(shape)


@dataclass(frozen=True, slots=True)
class Scale(Linear):
    """A normalisation with statistics of its own: each channel is scaled and shifted by itself.

    Attributes:
        centre: (channels,) what is taken off first.
        spread: (channels,) what is divided by then.
    """

    centre: Array
    spread: Array

    def rows(self, data: Array, results: Sequence[int], picked: Ids) -> Array:
        """(channels, n, 1) the normalised data."""
        centre, spread = (a[:, None, None] for a in (self.centre, self.spread))
        return np.asarray((self.results(data, picked) - centre) / spread)

    def matrix(self, weight: Array) -> Array:
        """(channels, 1, 1)."""
        return np.asarray(weight.reshape(-1, 1, 1))

    def stored(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The reverse."""
        return np.asarray(matrix.reshape(shape))


def convolution(op: Op, transposed: bool = False) -> Convolution:
    """The convolution that a node is."""
    kernel = [dim.size for dim in op.shape(1)[2:]]
    ones, groups = [1] * len(kernel), op.attr("group", 1)
    auto_pad = op.attr("auto_pad", "NOTSET")
    pads: tuple[int, ...] | None = tuple(op.attr("pads", [0] * 2 * len(kernel))[: len(kernel)])
    if auto_pad.startswith("SAME") or (transposed and "output_shape" in op.node.attributes):
        pads = None
    elif auto_pad == "VALID":
        pads = (0,) * len(kernel)
    return Convolution(
        data=0,
        weight=1,
        bias=2,
        channels=1,
        groups=groups,
        owned=math.prod(kernel),
        weight_axis=0 if transposed else 1,
        kernel=tuple(kernel),
        strides=tuple(op.attr("strides", ones)),
        dilations=tuple(op.attr("dilations", ones)),
        pads=pads,
        auto_pad=auto_pad,
        added=tuple(op.attr("output_padding", [0] * len(kernel))),
        transposed=transposed,
    )


def product(op: Op, transposed: bool = False, bias: int | None = None) -> Product:
    """The matrix product that a node is.

    Raises:
        Unknown: If its weight has not two axes.
    """
    if len(op.shape(1)) != 2 or not op.shape(0):
        raise Unknown("its weight is not a matrix")
    axis = 1 if transposed else 0
    return Product(0, 1, bias, -1, 1, 1, axis, transposed)


@linear("Conv")
def conv(op: Op) -> Linear:
    """https://onnx.ai/onnx/operators/onnx__Conv.html."""
    return convolution(op)


@linear("ConvTranspose")
def conv_transpose(op: Op) -> Linear:
    """https://onnx.ai/onnx/operators/onnx__ConvTranspose.html."""
    return convolution(op, transposed=True)


@linear("BatchNormalization")
def batch_normalization(op: Op) -> Linear:
    """https://onnx.ai/onnx/operators/onnx__BatchNormalization.html, as at inference."""
    if op.attr("training_mode", 0) or op.used(1):
        raise Unknown("it computes statistics")
    mean, variance = (np.array(op.floats("", i)) for i in (3, 4))
    spread = np.sqrt(variance + op.attr("epsilon", 1e-5))
    return Scale(0, 1, 2, 1, len(mean), 1, 0, mean.astype(np.float32), spread.astype(np.float32))


@linear("MatMul")
def matmul(op: Op) -> Linear:
    """https://onnx.ai/onnx/operators/onnx__MatMul.html."""
    return product(op)


@linear("Gemm")
def gemm(op: Op) -> Linear:
    """https://onnx.ai/onnx/operators/onnx__Gemm.html; unscaled, of rows as they stand."""
    if op.attr("transA", 0) or op.attr("alpha", 1.0) != 1 or op.attr("beta", 1.0) != 1:
        raise Unknown("its operands are transposed or scaled")
    shape = [dim.size for dim in op.shape(2)] if op.has(2) else []
    vector = not op.has(2) or (op.constant(2) and math.prod(shape) == (shape or [1])[-1])
    return product(op, bool(op.attr("transB", 0)), bias=2 if vector else None)
