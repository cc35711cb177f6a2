"""Operators that onnxruntime's optimizers write, and the experimental ones that ONNX once had."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onnxprune.oracle.evaluate import Array
from onnxprune.oracle.examples.defined import defined
from onnxprune.oracle.examples.example import Example, example

__all__ = ["fused"]

_RANDOM = np.random.default_rng(0)


def fused() -> Iterator[Example]:
    """The examples."""
    yield from _convolutions()
    yield from _products()
    yield from _normalizations()
    yield from _embeddings()
    yield from _elementwise()
    yield from _images()
    yield from _moved()
    yield from _learnt()
    yield from defined()


def _signed(*shape: int) -> Array:
    return _RANDOM.standard_normal(shape).astype(np.float32)


def _numbers(high: int, *shape: int) -> npt.NDArray[np.int32]:
    return _RANDOM.integers(0, high, shape).astype(np.int32)


def _convolutions() -> Iterator[Example]:
    conv, pads = "com.microsoft::FusedConv", [1, 1, 1, 1]
    image, weight, bias = _signed(2, 8, 5, 5), _signed(12, 8, 3, 3), _signed(12)
    for activation in ("Relu", "Sigmoid", "Tanh"):
        yield example(conv, image, weight, bias, activation=activation)
    for activation, numbers in (("LeakyRelu", [0.2]), ("Clip", [0.0, 6.0])):
        yield example(
            conv, image, weight, activation=activation, activation_params=numbers, pads=pads
        )
    for activation in ("HardSigmoid", "HardSwish"):
        numbers = [0.2, 0.5] if activation == "HardSigmoid" else [1 / 6, 0.5]
        yield example(conv, image, weight, activation=activation, activation_params=numbers)
    for group in (2, 4, 8):
        weight, added = _signed(16, 8 // group, 3, 3), _signed(2, 16, 5, 5)
        yield example(conv, image, weight, group=group, activation="Relu", strides=[2, 1])
        yield example(
            conv, image, weight, _signed(16), added, group=group, pads=pads, activation="Relu"
        )
        yield example(conv, image, weight, None, added, group=group, pads=pads)
    yield example(conv, _signed(2, 8, 6), _signed(6, 8, 2), _signed(6), activation="Relu")
    for group in (1, 2):
        operands = _signed(2, 4, 5, 5), _signed(4, 3, 3, 3), np.array([1, 0, 1, 1])
        operator = "com.microsoft::ConvTransposeWithDynamicPads"
        yield example(operator, *operands, _signed(3 * group), group=group, strides=[2, 2])
        yield example(operator, *operands, group=group)


def _products() -> Iterator[Example]:
    gemm, matmul = "com.microsoft::FusedGemm", "com.microsoft::FusedMatMul"
    yield example(gemm, _signed(4, 5), _signed(5, 6), _signed(6), activation="Relu")
    yield example(gemm, _signed(5, 4), _signed(5, 6), activation="Tanh", transA=1, alpha=0.5)
    yield example(
        gemm,
        *(_signed(4, 5), _signed(6, 5), _signed(4, 1)),
        activation="LeakyRelu",
        activation_alpha=0.2,
        transB=1,
        beta=2.0,
    )
    yield example(gemm, _signed(4, 5), _signed(5, 6), _signed(4, 6), activation="Sigmoid")
    yield example(matmul, _signed(2, 3, 4), _signed(4, 5), alpha=0.5)
    yield example(matmul, _signed(2, 4, 3), _signed(2, 5, 4), transA=1, transB=1)
    yield example(matmul, _signed(4), _signed(2, 5, 4), transA=1, transB=1)
    yield example(matmul, _signed(2, 3, 4), _signed(4), transB=1)
    yield example(matmul, _signed(3, 2, 6, 4), _signed(2, 6, 4, 5), transBatchA=1)
    yield example(matmul, _signed(3, 1, 4), _signed(6, 4, 5), transBatchA=1, alpha=2.0)
    both = {"transBatchA": 1, "transA": 1, "transBatchB": 1}
    yield example(matmul, _signed(4, 2, 6, 3), _signed(4, 2, 6, 5), **both)
    yield example(matmul, _signed(4, 6, 3), _signed(5, 6, 4), **both, transB=1)
    yield example("com.microsoft::TransposeMatMul", _signed(2, 3, 4), _signed(2, 5, 4), transB=1)
    yield example("com.microsoft::TransposeMatMul", _signed(3, 4, 5, 2), _signed(4, 5, 6), transA=1)
    for metric in ("euclidean", "sqeuclidean"):
        yield example("com.microsoft::CDist", _signed(3, 4), _signed(5, 4), metric=metric)
    sizes = {"embedding_size": 5, "conv_window_size": 2, "char_embedding_size": 4}
    words = _numbers(6, 3, 6) + np.int32(1), _signed(5, 1, 2, 4), _signed(5), _signed(7, 4)
    yield example("com.microsoft::WordConvEmbedding", *words, **sizes)


def _normalizations() -> Iterator[Example]:
    plain = "com.microsoft::SkipLayerNormalization"
    simple = "com.microsoft::SkipSimplifiedLayerNormalization"
    x, scale = _signed(2, 3, 8), _signed(8)
    for skip in (_signed(2, 3, 8), _signed(1, 3, 8), _signed(3, 8)):
        yield example(plain, x, skip, scale)
        yield example(plain, x, skip, scale, _signed(8), _signed(8), epsilon=0.1)
        yield example(simple, x, skip, scale, _signed(8))
    yield example(plain, _signed(3, 8), _signed(3, 8), scale, None, _signed(8))
    yield example(plain, x, _signed(2, 3, 8), scale, _signed(8), results=4)
    yield example(simple, x, _signed(2, 3, 8), scale, _signed(8), results=4)
    for operator in (plain, simple):
        yield Example(operator, (x, _signed(2, 3, 8), scale), results=("y0", "", "", "y3"))
    for axis in (-1, 1):
        shape = (8,) if axis == -1 else (3, 8)
        yield example(
            "SimplifiedLayerNormalization", x, _signed(*shape), axis=axis, epsilon=0.1, results=2
        )
    yield example("LayerNormalization", x, scale, _signed(8), opset=12, results=3)


def _embeddings() -> Iterator[Example]:
    operator, none = "com.microsoft::EmbedLayerNormalization", (None, None)
    word, position, segment = _signed(7, 8), _signed(9, 8), _signed(2, 8)
    affine = _signed(8), _signed(8)
    words, segments, mask = _numbers(7, 3, 5), _numbers(2, 3, 5), _numbers(2, 3, 5)
    yield example(operator, words, segments, word, position, segment, *affine, mask, results=3)
    yield example(operator, words, None, word, position, None, *affine, results=2, epsilon=0.1)
    places = _numbers(9, 3, 5)
    yield example(
        operator, words, None, word, position, *none[:1], *affine, None, places, results=3
    )


def _elementwise() -> Iterator[Example]:
    x, bias = _signed(2, 3, 8), _signed(8)
    for kind in ("FastGelu", "Gelu", "QuickGelu"):
        yield example(f"com.microsoft::{kind}", x)
    yield example("com.microsoft::FastGelu", x, bias)
    yield example("com.microsoft::BiasGelu", x, bias)
    yield example("com.microsoft::QuickGelu", x, alpha=1.0)
    yield example("com.microsoft::MurmurHash3", _numbers(100, 3, 4), seed=1)
    yield example("com.microsoft::MurmurHash3", _numbers(100, 5, 4), positive=0)
    for kind in ("Affine", "ParametricSoftplus", "ScaledTanh"):
        yield example(kind, x, opset=9, alpha=0.5, beta=1.5)
    for kind in ("MemcpyFromHost", "MemcpyToHost"):
        yield example(kind, x)
    yield example("Scale", x, opset=9, scale=0.5)


def _images() -> Iterator[Example]:
    pool, masked = "com.microsoft::NhwcMaxPool", "com.microsoft::MaxpoolWithMask"
    for kind in (np.int8, np.uint8):
        image = _RANDOM.integers(0, 100, (2, 5, 6, 4)).astype(kind)
        yield example(pool, image, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 1, 1])
        yield example(pool, image, kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1)
    for mask in ((2, 3, 4, 4), (1, 3, 4, 4), (1, 1, 4, 4)):
        yield example(masked, _signed(2, 3, 4, 4), _numbers(2, *mask), kernel_shape=[2, 2])
    boxes = np.array([[0, 0, 1, 1], [0.2, 0.1, 0.7, 1.2], [0.9, 0.8, 0.3, 0.1]], np.float32)
    images, size = np.array([0, 1, 0], np.int32), np.array([2, 4], np.int32)
    for mode in ("bilinear", "nearest"):
        operands = _signed(2, 3, 6, 5), boxes, images, size
        yield example("com.microsoft::CropAndResize", *operands, mode=mode)
    single = np.array([1, 1], np.int32)
    yield example("com.microsoft::CropAndResize", *operands[:3], single, extrapolation_value=3.0)
    grid = _RANDOM.uniform(-1.1, 1.1, (2, 3, 5, 2)).astype(np.float32)
    for mode in ("bilinear", "nearest", "bicubic"):
        yield example("com.microsoft::GridSample", _signed(2, 3, 4, 4), grid, mode=mode)
    yield example("Crop", _signed(2, 3, 6, 7), opset=9, border=[1, 2, 1, 0])


def _moved() -> Iterator[Example]:
    for place in (0, 1, -1):
        yield example("com.microsoft::ExpandDims", _signed(3, 4), np.array(place, np.int32))
    operator, amounts = "com.microsoft::Pad", np.array([0, 1, 0, 2])
    yield example(operator, _signed(3, 4), amounts)
    yield example(operator, _signed(3, 4), amounts[None], np.array([3], np.float32))
    yield example(operator, _signed(3, 4), np.array([2, -1, 1, 0]), np.array(3, np.float32))
    for mode in ("edge", "reflect"):
        yield example(operator, _signed(3, 4), amounts, mode=mode)
    yield example("com.microsoft::Inverse", _signed(4, 3, 3))
    yield example("com.microsoft::Trilu", _signed(2, 3, 4), upper=0)
    yield example("com.microsoft::Trilu", _signed(2, 4, 3), np.array(1))
    yield example("com.microsoft::GatherND", _signed(3, 4, 5), np.array([[0, 1], [2, 1]]))
    yield example("com.microsoft::GatherND", _signed(3, 4, 5), np.array([[0], [2]]))
    ends = (np.array(number, np.float32) for number in (1, 9, 2))
    yield example("com.microsoft::Range", *ends)
    yield example("com.microsoft::Unique", np.array([1, 2, 1, 3], np.float32), results=3)


def _learnt() -> Iterator[Example]:
    for norm in ("L1", "L2", "MAX"):
        yield example("ai.onnx.ml::Normalizer", _signed(3, 4), norm=norm)
    yield example("ai.onnx.ml::Normalizer", _signed(4), norm="L2")
    yield example("ai.onnx.ml::Binarizer", _signed(3, 4), threshold=0.2)
