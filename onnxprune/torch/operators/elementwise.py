"""Arithmetic entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.registry import Call, operator

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Neg": torch.neg,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Tan": torch.tan,
}

_UNARY_UNSAFE_AT_ZERO: dict[str, Callable[[Tensor], Tensor]] = {
    "Acosh": torch.acosh,
    "Log": torch.log,
    "Reciprocal": torch.reciprocal,
    "Sqrt": torch.sqrt,  # its value is fine, its gradient is not
}

_VARIADIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Sum": torch.add,
    "Max": torch.maximum,
    "Min": torch.minimum,
}


@operator(*_UNARY)
def _unary(call: Call) -> Masked:
    return elementwise(_UNARY[call.operator], call[0])


@operator(*_UNARY_UNSAFE_AT_ZERO)
def _unary_unsafe(call: Call) -> Masked:
    return elementwise(_UNARY_UNSAFE_AT_ZERO[call.operator], call[0], safe=1)


@operator("Add")
def _add(call: Call) -> Masked:
    return elementwise(torch.add, call[0], call[1])


@operator("Sub")
def _subtract(call: Call) -> Masked:
    return elementwise(torch.sub, call[0], call[1])


@operator("Mul")
def _multiply(call: Call) -> Masked:
    return elementwise(torch.mul, call[0], call[1], absorbs=True)


@operator("Div")
def _divide(call: Call) -> Masked:
    if call.tensor(0).is_floating_point():
        return elementwise(torch.div, call[0], call[1], safe=1)
    return elementwise(
        lambda a, b: torch.div(a, b, rounding_mode="trunc"), call[0], call[1], safe=1
    )


@operator("Pow")
def _power(call: Call) -> Masked:
    dtype = call.tensor(0).dtype
    return elementwise(lambda a, b: torch.pow(a, b).to(dtype), call[0], call[1], safe=1)


@operator("Mod")
def _modulo(call: Call) -> Masked:
    function = torch.fmod if call.attribute("fmod", 0) else torch.remainder
    return elementwise(function, call[0], call[1], safe=1)


@operator(*_VARIADIC)
def _variadic(call: Call) -> Masked:
    function = _VARIADIC[call.operator]
    given = [x for x in call.inputs if x is not None]
    return elementwise(lambda *values: reduce(function, values), *given)


@operator("Mean")
def _mean(call: Call) -> Masked:
    given = [x for x in call.inputs if x is not None]
    return elementwise(lambda *values: reduce(torch.add, values) / len(values), *given)


@operator("Clip")
def _clip(call: Call) -> Masked:
    low, high = (
        call.attribute(name) if call.opset < 11 else _scalar(call, position)
        for position, name in ((1, "min"), (2, "max"))
    )

    def clip(x: Tensor) -> Tensor:
        x = x if low is None else torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
        return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))

    return elementwise(clip, call[0])


def _scalar(call: Call, position: int) -> Tensor | None:
    x = call.optional_setting(position)
    return None if x is None else x.reshape(())
