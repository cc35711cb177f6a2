"""What quantised constants stand for: which inputs hold their scale and their zero point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "PARAMETERS",
    "Stored",
    "aligned",
    "is_parameter",
    "numbers",
    "rounds",
    "stored",
    "zero_of",
]

Array = npt.NDArray[np.float64]

_FIRST = {0: (1, 2)}
_BOTH = {0: (1, 2), 3: (4, 5)}
_INTEGER: dict[int, tuple[int | None, int | None]] = {0: (None, 2), 1: (None, 3)}
_MICROSOFT: dict[str, Mapping[int, tuple[int | None, int | None]]] = {
    **dict.fromkeys(("DequantizeLinear", "QLinearSigmoid", "QLinearLeakyRelu"), _FIRST),
    **dict.fromkeys(("QLinearSoftmax", "QLinearAveragePool", "QLinearGlobalAveragePool"), _FIRST),
    **dict.fromkeys(("QLinearConv", "QLinearAdd", "QLinearMul", "QGemm"), _BOTH),
    "QLinearWhere": {1: (2, 3), 4: (5, 6)},
    "DynamicQuantizeMatMul": {1: (2, 3)},
    "MatMulIntegerToFloat": {0: (2, 4), 1: (3, 5)},
    "MatMulNBits": {1: (2, 3)},
    "QAttention": {0: (3, 6), 1: (4, 7)},
}

PARAMETERS: dict[tuple[str, str], Mapping[int, tuple[int | None, int | None]]] = {
    ("", "DequantizeLinear"): _FIRST,
    **dict.fromkeys((("", "MatMulInteger"), ("", "ConvInteger")), _INTEGER),
    **dict.fromkeys((("", "QLinearConv"), ("", "QLinearMatMul")), _BOTH),
    **{("com.microsoft", name): slots for name, slots in _MICROSOFT.items()},
}
"""(Domain, operator) -> quantised input -> the inputs with its scale and its zero point."""

_ROUNDING = {
    *("QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"),
    *("QAttention", "QGemm"),
}

_ROWS = {"ConvInteger", "QLinearConv"}
"""Operators whose weight has a scale for each index of axis 0."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the elements of a quantised constant stand for: (element - zero) * scale.

    Attributes:
        scale: Broadcast to the constant, None where it is not known.
        zero: The same.
        bits: How many bits of a byte are one number.
    """

    scale: Array | None
    zero: Array | None
    bits: int = 8

    def read(self, array: npt.NDArray[np.generic]) -> Array:
        """The numbers, with another axis where bytes hold several."""
        values = array.astype(np.float64)
        if self.bits < 8:
            shifts = np.arange(0, 8, self.bits)
            parts = (array[..., None].astype(np.int64) >> shifts) & ((1 << self.bits) - 1)
            values = parts.astype(np.float64)
        for sign, parameter in ((-1, self.zero), (0, self.scale)):
            if parameter is not None:
                parameter = parameter if self.bits == 8 else parameter[..., None]
                values = values - parameter if sign else values * parameter
        return values


def stored(value: ir.Value) -> Stored | None:
    """How a constant is read as quantised numbers, None where nothing reads it so."""
    for use in value.uses():
        slots = PARAMETERS.get((use.node.domain, use.node.op_type), {})
        if use.idx in slots:
            scale, zero = (_parameter(use.node, use.idx, slot) for slot in slots[use.idx])
            if slots is _INTEGER:
                scale = _multiplied(use.node, use.idx)
            if use.node.op_type == "MatMulNBits":
                return _packed(use.node, scale, zero)
            return Stored(scale, zero)
    return None


def zero_of(value: ir.Value) -> npt.NDArray[np.generic]:
    """What stands for nothing in a constant, broadcast to it: its zero point, or 0."""
    dtype = np.float64 if value.dtype is None else value.dtype.numpy()
    found = stored(value)
    if found is None or found.zero is None:
        return np.zeros((), dtype)
    number = int(found.zero.flat[0])
    if found.bits < 8:  # as often as it fits into a byte
        number = sum(number << shift for shift in range(0, 8, found.bits))
        return np.full((), number, dtype)
    return found.zero.astype(dtype)


def rounds(node: ir.Node) -> bool:
    """Whether a node rounds numbers to steps of a scale."""
    name = node.op_type
    return name.startswith("QLinear") or name in _ROUNDING


def is_parameter(value: ir.Value) -> bool:
    """Whether a constant is nothing but a scale or zero point."""
    uses = value.uses()
    return bool(uses) and all(
        any(use.idx in pair for pair in _parameters(use.node).values()) for use in uses
    )


def _parameters(node: ir.Node) -> Mapping[int, tuple[int | None, int | None]]:
    if node.op_type == "QuantizeLinear":
        return _FIRST
    return PARAMETERS.get((node.domain, node.op_type), {})


def _parameter(node: ir.Node, place: int, slot: int | None) -> Array | None:
    """A scale or zero point as it is broadcast to the input at a place."""
    value = node.inputs[slot] if slot is not None and slot < len(node.inputs) else None
    weight = node.inputs[place]
    if value is None or value.const_value is None or weight is None or weight.shape is None:
        return None
    array = value.const_value.numpy().astype(np.float64)
    return aligned(node, place, array, list(weight.shape.numpy()))


def _multiplied(node: ir.Node, place: int) -> Array | None:
    """The scale that the result of a product of integers is multiplied by, as far as it is known.

    It is the product of both operands' scales, of which that of the weight is a constant.
    """
    weight, value = node.inputs[place], node.outputs[0]
    if weight is None or weight.shape is None:
        return None
    for wanted in ("Cast", "Mul"):
        uses = [use for use in value.uses() if use.node.op_type == wanted]
        if len(uses) != 1:
            return None
        use, value = uses[0], uses[0].node.outputs[0]
    factor = use.node.inputs[1 - use.idx]
    while factor is not None and (source := factor.producer()) is not None:
        if source.op_type not in ("Mul", "Reshape"):
            return None
        given = source.inputs[:1] if source.op_type == "Reshape" else source.inputs
        known = (
            v for v in given if v is not None and (v.const_value is not None or len(given) == 1)
        )
        factor = next(known, None)
    if factor is None or factor.const_value is None:
        return None
    array = factor.const_value.numpy().astype(np.float64).reshape(-1)
    shape = list(weight.shape.numpy())
    fits = array.size in (1, shape[_axis(node, place, len(shape))])
    return aligned(node, place, array, shape) if fits else None


def aligned(node: ir.Node, place: int, array: Array, shape: Sequence[int]) -> Array:
    """A scale or zero point as it is broadcast to the tensor that it belongs to.

    Args:
        node: The node.
        place: The input that is the tensor.
        array: The scale or zero point.
        shape: The shape of the tensor.
    """
    rank = len(shape)
    if array.size == 1:
        return array.reshape((1,) * rank)
    if node.op_type == "MatMulNBits":
        return array
    if array.ndim > 1:
        block = node.attributes.get_int("block_size", 0)
        axis = node.attributes.get_int("axis", 1) % rank
        if not block:
            return array
        return np.repeat(array, block, axis).take(range(shape[axis]), axis)
    axis = _axis(node, place, rank)
    return array.reshape([-1 if a == axis else 1 for a in range(rank)])


def _axis(node: ir.Node, place: int, rank: int) -> int:
    """The axis along which a parameter of several elements stands."""
    if node.op_type == "DequantizeLinear":
        return node.attributes.get_int("axis", 1) % rank
    if node.op_type in _ROWS:
        return 0
    if node.op_type == "QGemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return rank - 2 if place == 0 else rank - 1


def _packed(node: ir.Node, scale: Array | None, zero: Array | None) -> Stored:
    """Blocks of numbers in bytes; their zero point, where it is packed as well, is the middle."""
    bits = node.attributes.get_int("bits", 4)
    rows = node.attributes.get_int("N", 1)
    if scale is not None:
        scale = scale.reshape(rows, -1, 1)
    same = zero is not None and scale is not None and zero.size == scale.size
    middle = np.full((1, 1, 1), float(1 << (bits - 1)))
    zero = zero.reshape(rows, -1, 1) if same and zero is not None else middle
    return Stored(scale, zero, bits if bits in (2, 4) else 8)


def numbers(value: ir.Value) -> npt.NDArray[np.generic] | None:
    """The numbers that a value holds whatever the model is fed, None where they depend on that.

    Quantised constants are read as what they stand for, with another axis where bytes hold several
    numbers; what is dequantised, cast or transposed before it is used is followed.
    """
    constant, node = value.const_value, value.producer()
    if constant is not None:
        quantised = stored(value)
        return constant.numpy() if quantised is None else quantised.read(constant.numpy())
    if node is None or not node.inputs or (source := node.inputs[0]) is None:
        return None
    if node.op_type not in ("Cast", "DequantizeLinear", "QuantizeLinear", "Transpose"):
        return None
    array = numbers(source)
    if array is None or node.op_type != "Transpose":
        return array
    return np.transpose(array, node.attributes.get_ints("perm", list(range(array.ndim))[::-1]))
