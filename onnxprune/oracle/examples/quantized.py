"""Quantised operators, of ONNX and of onnxruntime's own domain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onnxprune.oracle.examples.example import Example, Operand, example

__all__ = ["quantized"]


def quantized() -> Iterator[Example]:
    """The examples."""
    for family in (_linear, _products, _convolutions, _steps, _joined, _pooled, _floats, _blocks):
        yield from family(_Draw())
    yield from _attention(_Draw())
    yield from _experts()


class _Draw:
    """Draws the elements, always the same ones."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(12)

    def bytes(self, *shape: int) -> npt.NDArray[np.uint8]:
        """Unsigned weights, or what runs through the network."""
        return self.random.integers(0, 256, shape).astype(np.uint8)

    def signed(self, *shape: int) -> npt.NDArray[np.int8]:
        """Signed weights."""
        return self.random.integers(-127, 128, shape).astype(np.int8)

    def whole(self, *shape: int) -> npt.NDArray[np.int32]:
        """Biases."""
        return self.random.integers(-999, 1000, shape).astype(np.int32)

    def scale(self, *shape: int) -> npt.NDArray[np.float32]:
        """Scales."""
        return np.asarray(self.random.uniform(0.01, 0.1, shape), np.float32)

    def pair(self, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[Operand, ...]:
        """Two quantised operands and the steps of the result."""
        a, b = (
            (self.bytes(*shape), self.scale(), np.array(7, np.uint8)) for shape in (first, second)
        )
        return (*a, *b, np.asarray(self.scale() * 3, np.float32), np.array(9, np.uint8))


U8, S8 = np.array(7, np.uint8), np.array(0, np.int8)
NONE = np.array(0, np.uint8)
STEP, LONG = np.array(0.7, np.float32), np.array(4, np.float32)


def _linear(draw: _Draw) -> Iterator[Example]:
    for domain in ("", "com.microsoft::"):
        take, give = f"{domain}QuantizeLinear", f"{domain}DequantizeLinear"
        for axis, size in ((0, 3), (1, 4), (-1, 5)):
            yield example(take, (3, 4, 5), draw.scale(size), draw.bytes(size), axis=axis)
            yield example(
                give, draw.signed(3, 4, 5), draw.scale(size), draw.signed(size), axis=axis
            )
        yield example(take, (3, 4, 5), draw.scale(), U8)
        yield example(give, draw.bytes(3, 4, 5), draw.scale(), U8)
        yield example(give, draw.bytes(3, 4), draw.scale(4), draw.bytes(4), axis=1)
    yield example("QuantizeLinear", (3, 4, 5), draw.scale(4))
    yield example("QuantizeLinear", (3, 4, 5), draw.scale(1), np.array([3], np.int8))
    yield example("DequantizeLinear", draw.signed(6), draw.scale(6), axis=0)
    yield example("DequantizeLinear", draw.whole(6), draw.scale(6), axis=0)
    yield example("DequantizeLinear", np.array(5, np.uint8), draw.scale(), U8)
    yield example(
        "DequantizeLinear", draw.bytes(3, 8, 5), draw.scale(3, 2, 5), axis=1, block_size=4
    )
    blocks = draw.scale(12, 5), draw.bytes(12, 5)
    yield example("DequantizeLinear", draw.bytes(48, 5), *blocks, axis=0, block_size=4)
    yield example("DequantizeLinear", draw.bytes(5, 7), draw.scale(5, 2), axis=1, block_size=4)
    yield example(
        "QuantizeLinear", (3, 12), draw.scale(3, 3), draw.bytes(3, 3), axis=1, block_size=4
    )
    yield example("DynamicQuantizeLinear", (3, 4, 5), results=3)


def _products(draw: _Draw) -> Iterator[Example]:
    a, b = draw.bytes(5, 6), draw.signed(6, 4)
    yield example("MatMulInteger", a, b)
    yield example("MatMulInteger", a, b, U8, S8)
    yield example("MatMulInteger", draw.bytes(2, 5, 6), b, U8, np.zeros(4, np.int8))
    yield example("MatMulInteger", a, draw.signed(3, 6, 4), NONE, draw.signed(3, 1, 4))
    yield example("MatMulInteger", a, b, NONE, draw.signed(4))
    numbers = draw.scale(), U8
    for scale, zero in ((draw.scale(), S8), (draw.scale(4), np.zeros(4, np.int8))):
        yield example("QLinearMatMul", a, *numbers, b, scale, zero, STEP, U8)
        batch = draw.bytes(2, 5, 6)
        yield example("QLinearMatMul", batch, *numbers, b, scale, zero, STEP, U8)
    yield example("com.microsoft::QLinearAdd", *draw.pair((3, 4), (3, 4)))


def _convolutions(draw: _Draw) -> Iterator[Example]:
    for group in (1, 2, 8):
        x, w = draw.bytes(2, 8, 5, 5), draw.signed(16, 8 // group, 3, 3)
        one = draw.scale(), U8
        for scale, zero in ((draw.scale(), S8), (draw.scale(16), np.zeros(16, np.int8))):
            given = x, *one, w, scale, zero, LONG, U8
            yield example("QLinearConv", *given, group=group, pads=[1, 1, 1, 1])
            yield example("QLinearConv", *given, draw.whole(16), group=group)
            last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)), *given[1:], draw.whole(16)
            yield example("com.microsoft::QLinearConv", *last, group=group, channels_last=1)
            yield example("com.microsoft::QLinearConv", *given, group=group)
        yield example("ConvInteger", x, draw.bytes(*w.shape), U8, NONE, group=group)
        yield example("ConvInteger", x, draw.bytes(*w.shape), group=group, pads=[1, 1, 1, 1])


def _steps(draw: _Draw) -> Iterator[Example]:
    for kind in ("QLinearAdd", "QLinearMul"):
        for first, second in (((3, 4), (4,)), ((2, 3, 4), (3, 1)), ((2, 1, 4), (1, 3, 1))):
            yield example(f"com.microsoft::{kind}", *draw.pair(first, second))
    for kind in ("QLinearSigmoid", "QLinearLeakyRelu"):
        yield example(
            f"com.microsoft::{kind}", draw.bytes(3, 4, 5), draw.scale(), U8, draw.scale(), U8
        )
        yield example(
            f"com.microsoft::{kind}", draw.bytes(3, 4), draw.scale(), None, draw.scale(), U8
        )
    condition = draw.random.random((3, 1, 5)) > 0.5
    x, y = draw.pair((3, 4, 5), (4, 1))[:3], draw.pair((4, 1), (1,))[:3]
    yield example("com.microsoft::QLinearWhere", condition, *x, *y, draw.scale(), U8)
    for opset, axis in ((13, -1), (13, 1), (11, 1)):
        given = draw.bytes(3, 4, 5), draw.scale(), U8, np.array(1 / 256, np.float32), NONE
        attributes = {"opset": opset, "axis": axis}
        yield Example("com.microsoft::QLinearSoftmax", given, attributes=attributes)


def _joined(draw: _Draw) -> Iterator[Example]:
    for axis in (1, -1):
        shapes = ((2, 3, 4), (2, 5, 4)) if axis == 1 else ((2, 3, 4), (2, 3, 2))
        parts = [operand for shape in shapes for operand in (draw.bytes(*shape), draw.scale(), U8)]
        yield example("com.microsoft::QLinearConcat", draw.scale(), U8, *parts, axis=axis)


def _pooled(draw: _Draw) -> Iterator[Example]:
    for last in (0, 1):
        x = draw.bytes(2, 5, 5, 6) if last else draw.bytes(2, 6, 5, 5)
        numbers = draw.scale(), U8, draw.scale(), U8
        size, pads = [3, 3], [1, 1, 1, 1]
        attributes = {"kernel_shape": size, "pads": pads, "channels_last": last}
        given = x, *numbers
        yield Example("com.microsoft::QLinearAveragePool", given, attributes=attributes)
        yield example("com.microsoft::QLinearGlobalAveragePool", *given, channels_last=last)


def _floats(draw: _Draw) -> Iterator[Example]:
    a, b = draw.bytes(5, 6), draw.signed(6, 4)
    for scale, zero in ((draw.scale(), S8), (draw.scale(4), np.zeros(4, np.int8))):
        yield example(
            "com.microsoft::MatMulIntegerToFloat", a, b, draw.scale(), scale, U8, zero, (4,)
        )
        yield example("com.microsoft::MatMulIntegerToFloat", a, b, draw.scale(), scale)
        yield example("com.microsoft::DynamicQuantizeMatMul", (2, 5, 6), b, scale, zero, (4,))
        yield example("com.microsoft::DynamicQuantizeMatMul", (5, 6), b, scale)
        for flipped in (0, 1):
            left, right = (np.ascontiguousarray(m.T if flipped else m) for m in (a, b))
            given = left, draw.scale(), U8, right, scale, zero
            flags = {"transA": flipped, "transB": flipped}
            yield example("com.microsoft::QGemm", *given, draw.whole(4), STEP, U8, **flags)
            yield example("com.microsoft::QGemm", *given, draw.whole(1, 4), **flags)
            yield example("com.microsoft::QGemm", *given, **flags)


def _blocks(draw: _Draw) -> Iterator[Example]:
    name, n, k, block = "com.microsoft::MatMulNBits", 6, 64, 16
    blocks = k // block
    numbers = {"K": k, "N": n, "block_size": block}
    for bits in (4, 8):
        given = (2, 3, k), draw.bytes(n, blocks, block * bits // 8), (n, blocks)
        yield example(name, *given, bits=bits, **numbers)
        packed = draw.bytes(n, blocks * bits // 8)
        yield example(name, *given, packed, bits=bits, **numbers)
        flat = *given[:2], (n * blocks,)
        yield example(name, *flat, bits=bits, **numbers)
        yield example(name, *flat, packed.reshape(-1), bits=bits, **numbers)
    halves = (2, 3, k), draw.bytes(n, blocks, block // 2), (n, blocks)
    yield example(name, *halves, (n, blocks), bits=4, **numbers)
    ragged = {"K": 56, "N": n, "block_size": block}
    yield example(name, (3, 56), draw.bytes(n, blocks, 8), (n, blocks), bits=4, **ragged)


def _attention(draw: _Draw) -> Iterator[Example]:
    heads, size = 3, 4
    wide = 3 * heads * size
    given = (2, 5, 8), draw.signed(8, wide), (wide,), draw.scale(), draw.scale()
    x = draw.bytes(2, 5, 8), *given[1:]
    yield example("com.microsoft::QAttention", *x, None, U8, S8, num_heads=heads)
    columns = *x[:4], draw.scale(wide), None, U8, np.zeros(wide, np.int8)
    yield example("com.microsoft::QAttention", *columns, num_heads=heads, unidirectional=1)
    mask = np.array([4, 5], np.int32)
    past = 2, 2, heads, 3, size
    yield example("com.microsoft::QAttention", *x, mask, U8, S8, past, num_heads=heads, results=2)


def _experts() -> Iterator[Example]:
    experts, size, inner = 4, 6, 8
    name = "com.microsoft::MoE"
    for rows, attributes in (
        (inner, {"activation_type": "relu"}),
        (2 * inner, {"activation_type": "swiglu", "swiglu_fusion": 1}),
    ):
        given = (15, size), (15, experts), (experts, rows, size)
        second = (experts, size, inner)
        yield example(name, *given, (experts, rows), second, (experts, size), k=2, **attributes)
        tokens = (3, 5, size), *given[1:]
        yield example(name, *tokens, None, second, k=1, **attributes)
