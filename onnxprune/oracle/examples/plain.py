"""Operators of ONNX, where its own cases have a single channel or group, or are missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from onnxprune.oracle.examples.example import Example, example

__all__ = ["plain"]


def plain() -> Iterator[Example]:
    """The examples."""
    yield from _channels()
    yield from _products()
    yield from _moved()
    yield from _resampled()


def _channels() -> Iterator[Example]:
    for group in (1, 2, 4, 8):
        weight, pads = (16, 8 // group, 3, 3), [1, 1, 1, 1]
        yield example("Conv", (2, 8, 5, 5), weight, (16,), pads=pads, group=group)
        yield example("Conv", (2, 8, 6), (8, 8 // group, 2), group=group)
    for group in (1, 2, 4):
        weight = (8, 3, 2, 2)
        yield example("ConvTranspose", (2, 8, 4, 4), weight, (3 * group,), group=group)
    yield example("BatchNormalization", (2, 6, 3), (6,), (6,), (6,), (6,))
    yield example("InstanceNormalization", (2, 6, 3), (6,), (6,))
    yield example("LRN", (2, 6, 3, 3), size=3, alpha=1.0)
    yield example("LpNormalization", (3, 4), axis=0, p=1)
    yield example("PRelu", (2, 6, 3), (6, 1))
    yield example("GlobalLpPool", (2, 6, 3, 3))
    yield example("LpPool", (2, 6, 3, 3), kernel_shape=[2, 2])
    box = np.array([[1, 0, 0, 5, 5]], np.float32)
    yield example("MaxRoiPool", (2, 6, 8, 8), box, pooled_shape=[2, 2])


def _products() -> Iterator[Example]:
    yield example("Gemm", (5, 4), (5, 3), (3,), transA=1)
    yield example("Gemm", (4, 5), (3, 5), (4, 1), transB=1)
    yield example("MatMul", (2, 1, 4, 5), (3, 5, 6))
    yield example("MatMul", (5,), (3, 5, 6))
    yield example("Softmax", (2, 3, 4), opset=11, axis=1)
    yield example("Softmax", (2, 3, 4), opset=11)
    yield example("STFT", (3, 16, 1), np.array(4), (8,))


def _moved() -> Iterator[Example]:
    yield example("Cast", (3, 4), to=onnx.TensorProto.DOUBLE)
    yield example("CastLike", (3, 4), (2, 3))
    yield example("Dropout", (3, 4))
    yield example("Shape", (3, 4))
    yield example("Shape", (3, 4, 5), start=1, end=-1)
    yield example("Size", (3, 4))
    yield example("Concat", (2, 3), (2, 5), (2, 4), axis=-1)


def _resampled() -> Iterator[Example]:
    none, scales = np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32)
    yield example("Resize", (2, 3, 4, 4), none, scales, mode="linear")
    yield example("Resize", (2, 3, 4, 4), none, scales, mode="cubic", opset=11)
    yield example("Resize", (2, 3, 4, 4), none, none, np.array([2, 3, 7, 5]))
    yield example("Resize", (2, 3, 4, 4), scales, opset=10)
    yield example("Upsample", (2, 3, 4, 4), scales, opset=9)
    skewed = np.array([1, 1.2, 1, 1], np.float32)  # the channels are resampled, 3 remain
    yield example("Resize", (2, 3, 4, 4), none, skewed, mode="nearest")
