"""Quantised operators that onnxruntime adds in its own domain, rounded as it rounds.

Where it computes otherwise than in float32, in tables or fused products, a number that lies between
two steps may come out as the other one: sums of QLinearAdd, and QLinearSoftmax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, count_present, elementwise
from onnxprune.torch.operators.contraction import matmul
from onnxprune.torch.operators.integers import broadcast, requantized, shifted
from onnxprune.torch.operators.joining import concat
from onnxprune.torch.operators.quantized import decoded, dynamic, encoded, saturated, wide
from onnxprune.torch.operators.reduction import reduced
from onnxprune.torch.registry import Call, find, operator
from onnxprune.torch.structure import permute, reshape, take, whole


def _number(call: Call, i: int) -> Masked | None:
    """A scale or zero point that is one number."""
    x = call.optional(i)
    return None if x is None else Masked(x.value.reshape(()))


def _known(call: Call, i: int) -> Masked:
    """`_number`, where it may not be left out."""
    return Masked(call[i].value.reshape(()))


def _read(call: Call, i: int, zero: int | None = None) -> Masked:
    """What an operand stands for, with its scale and zero point behind it."""
    return decoded(call[i], _known(call, i + 1), _number(call, i + 2 if zero is None else zero))


def _written(call: Call, x: Masked, scale: int) -> Masked:
    """A result in the steps of its scale; the zero point stands behind it."""
    return encoded(x, _known(call, scale), _number(call, scale + 1), call[0].value.dtype)


@operator("com.microsoft::QLinearAdd")
def _add(call: Call) -> Masked:
    """One multiplication and addition at a time, each rounded once."""
    dtype = call[0].value.dtype
    kind = wide(call[1].value)
    a, b, c = (_known(call, i).value.to(kind) for i in (1, 4, 6))
    zeros = [n.value.to(kind) if (n := _number(call, i)) else torch.zeros(()) for i in (2, 5, 7)]
    first, second = a / c, b / c
    fixed = zeros[2] - (first * zeros[0] + second * zeros[1])

    def add(x: Tensor, y: Tensor) -> Tensor:
        steps = (x.double() * first.double() + fixed.double()).to(kind)
        steps = (y.double() * second.double() + steps.double()).to(kind)
        return saturated(steps, torch.zeros(()), dtype)

    return elementwise(add, call[0], call[3])


@operator("com.microsoft::QLinearMul")
def _multiply(call: Call) -> Masked:
    dtype, kind = call[0].value.dtype, wide(call[1].value)
    a, b, c = (_known(call, i).value.to(kind) for i in (1, 4, 6))
    zero = _number(call, 7)
    shift = torch.zeros(()) if zero is None else zero.value
    x, y = (shifted(call[i], _number(call, i + 2), 0) for i in (0, 3))

    def multiply(x: Tensor, y: Tensor) -> Tensor:
        steps = (x * y).to(kind) * (a * b / c) + shift.to(kind)
        return saturated(steps, torch.zeros(()), dtype)

    return elementwise(multiply, x, y)


@operator("com.microsoft::QLinearWhere")
def _where(call: Call) -> Masked:
    dtype = call[1].value.dtype
    scale, zero = _known(call, 7), _known(call, 8)
    x, y = (encoded(_read(call, i), scale, zero, dtype) for i in (1, 4))
    return elementwise(torch.where, call[0], x, y)


def _lookup(function: Callable[[Tensor, Call], Tensor]) -> Callable[[Call], Masked]:
    """An activation of one operand: read, computed, written."""

    def run(call: Call) -> Masked:
        value = elementwise(lambda v: function(v, call), _read(call, 0))
        return _written(call, value, 3)

    return run


operator("com.microsoft::QLinearSigmoid")(_lookup(lambda x, call: torch.sigmoid(x)))
operator("com.microsoft::QLinearLeakyRelu")(
    _lookup(lambda x, call: torch.where(x >= 0, x, x * call.attribute("alpha", 0.01)))
)


@operator("com.microsoft::QLinearConcat")
def _concat(call: Call) -> Masked:
    scale, zero = _known(call, 0), _known(call, 1)
    dtype = zero.value.dtype
    parts = [encoded(_read(call, i), scale, zero, dtype) for i in range(2, len(call.inputs), 3)]
    return concat(parts, call.attribute("axis", 0) % parts[0].value.ndim)


def _plain(call: Call, name: str, inputs: Sequence[Masked], opset: int = 21) -> Masked:
    """The result of an operator of ONNX with the attributes of the node."""
    handler = find("", name)
    assert handler is not None
    answer = handler(Call(name, opset, inputs, call.attributes))
    return answer if isinstance(answer, Masked) else answer[0]


@operator("com.microsoft::QLinearSoftmax")
def _softmax(call: Call) -> Masked:
    shares = _plain(call, "Softmax", [_read(call, 0)], call.attribute("opset"))
    count = elementwise(lambda scale: 1 / torch.floor(1 / scale), _known(call, 3))
    return encoded(shares, count, _number(call, 4), call[0].value.dtype)


def _channels_first(call: Call, pool: Callable[[Masked], Masked]) -> Masked:
    """A pooling whose channels may stand last."""
    x = call[0]
    rank = x.value.ndim
    if not call.attribute("channels_last", 0):
        return pool(x)
    pooled = pool(permute(x, [0, rank - 1, *range(1, rank - 1)]))
    return permute(pooled, [0, *range(2, rank), 1])


@operator("com.microsoft::QLinearAveragePool")
def _average_pool(call: Call) -> Masked:
    def pool(x: Masked) -> Masked:
        value = decoded(x, _known(call, 1), _number(call, 2))
        return _written(call, _plain(call, "AveragePool", [value]), 3)

    return _channels_first(call, pool)


@operator("com.microsoft::QLinearGlobalAveragePool")
def _global_average_pool(call: Call) -> Masked:
    def pool(x: Masked) -> Masked:
        axes = range(2, x.value.ndim)
        whole_x = whole(shifted(x, _known(call, 2), 0), axes, "over which it takes the mean")
        total = reduced(whole_x, axes, whole_x.value.sum(tuple(axes), keepdim=True))
        count = torch.tensor(count_present(whole_x, axes), dtype=wide(call[1].value))
        scale = elementwise(lambda y: y * count, _known(call, 3))
        one = Masked(torch.ones((), dtype=count.dtype))
        return requantized(total, [_known(call, 1), one, scale], _known(call, 4))

    return _channels_first(call, pool)


@operator("com.microsoft::QGemm")
def _gemm(call: Call) -> Masked:
    a, b = (
        shifted(call[0], call[2], 0),
        shifted(call[3], call[5], 0 if call.attribute("transB") else 1),
    )
    a = permute(a, [1, 0]) if call.attribute("transA", 0) else a
    b = permute(b, [1, 0]) if call.attribute("transB", 0) else b
    total, bias = matmul(a, b), call.optional(6)
    if bias is not None:
        total = elementwise(lambda t, c: t + c.to(t.dtype), total, bias)
    alpha, left = call.attribute("alpha", 1.0), _known(call, 1)
    left = elementwise(lambda scale: scale * alpha, left)
    scales = [left, broadcast(call[4], 2, 1)]
    if call.optional(7) is None:
        return _scaled(total, scales, None)
    return requantized(total, [*scales, _known(call, 7)], _known(call, 8))


def _scaled(total: Masked, scales: Sequence[Masked], bias: Masked | None) -> Masked:
    """A sum of products as a floating point number, with a bias added."""

    def scale(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return total.to(wide(a, b)) * (a * b)

    result = elementwise(scale, total, *scales)
    return result if bias is None else elementwise(torch.add, result, bias)


@operator("com.microsoft::MatMulIntegerToFloat")
def _matmul_to_float(call: Call) -> Masked:
    total = matmul(shifted(call[0], call.optional(4), -2), shifted(call[1], call.optional(5), -1))
    rank = total.value.ndim
    scales = [broadcast(call[i], rank, axis) for i, axis in ((2, -2), (3, -1))]
    return _scaled(total, scales, call.optional(6))


@operator("com.microsoft::DynamicQuantizeMatMul")
def _dynamic_matmul(call: Call) -> Masked:
    a, scale, zero = dynamic(call[0])
    total = matmul(shifted(a, zero, 0), shifted(call[1], call.optional(3), -1))
    scales = [scale, broadcast(call[2], total.value.ndim, -1)]
    return _scaled(total, scales, call.optional(4))


@operator("com.microsoft::MatMulNBits")
def _matmul_bits(call: Call) -> Masked:
    """The weight is unpacked; it is missing where its row or a whole block is."""
    n, k, block = (call.attribute(name) for name in ("N", "K", "block_size"))
    bits = call.attribute("bits", 4)
    if bits not in (2, 4, 8) or call.optional(4) is not None:
        raise call.refuse(f"{bits} bits, or columns in another order")
    blocks = -(-k // block)
    packed = whole(call[1], [2], "whose bytes hold several numbers", 1)
    value = _unpacked(packed.value.reshape(n, blocks, -1), bits)[..., :block]
    scales = reshape(call[2], [n, blocks, 1])
    zero = _zeros(call, n, blocks, bits)
    weight = decoded(Masked(value, packed.levels), scales, zero)
    weight = take(reshape(weight, [n, blocks * block]), 1, torch.arange(k))
    result = matmul(call[0], permute(weight, [1, 0]))
    bias = call.optional(5)
    return result if bias is None else elementwise(torch.add, result, bias)


def _zeros(call: Call, n: int, blocks: int, bits: int) -> Masked:
    """The zero point of each block; the middle where there is none."""
    zero = call.optional(3)
    if zero is None:
        return Masked(torch.tensor(1 << (bits - 1)))
    if zero.value.is_floating_point() or bits == 8:
        return reshape(zero, [n, blocks, 1])
    rows = whole(reshape(zero, [n, -1]), [1], "whose bytes hold several zero points", 3)
    value = _unpacked(rows.value, bits)[:, :blocks].unsqueeze(2)
    return Masked(value, None if rows.levels is None else rows.levels.unsqueeze(2))


def _unpacked(packed: Tensor, bits: int) -> Tensor:
    """The numbers that bytes hold, the lowest bits first."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    parts = (packed.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return parts.flatten(-2)
