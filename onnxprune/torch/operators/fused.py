"""onnxruntime's fused operators: ONNX's operators, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.operators.contraction import matmul
from onnxprune.torch.registry import Call, Handler, find, operator
from onnxprune.torch.structure import permute, take

_OPSET = 21

_Numbered = Callable[..., Tensor]
_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}
_NUMBERED: dict[str, tuple[_Numbered, tuple[float, ...]]] = {
    "Affine": (lambda x, a, b: a * x + b, (1.0, 0.0)),
    "Clip": (lambda x, low, high: x.clamp(low, high), (-math.inf, math.inf)),
    "Elu": (F.elu, (1.0,)),
    "HardSigmoid": (lambda x, a, b: (a * x + b).clamp(0, 1), (0.2, 0.5)),
    "HardSwish": (lambda x, a, b: x * (a * x + b).clamp(0, 1), (1 / 6, 0.5)),
    "LeakyRelu": (F.leaky_relu, (0.01,)),
    "ParametricSoftplus": (lambda x, a, b: a * F.softplus(b * x), (1.0, 1.0)),
    "ScaledTanh": (lambda x, a, b: a * torch.tanh(b * x), (1.0, 1.0)),
    "ThresholdedRelu": (lambda x, a: torch.where(x > a, x, torch.zeros_like(x)), (1.0,)),
}
"""Name -> function of the entries and numbers, and these numbers unless a node says others."""


def run(name: str, *inputs: Masked | None, outputs: int = 1, **attributes: Any) -> list[Masked]:
    """What an operator of ONNX results in.

    Args:
        name: The operator.
        *inputs: Its operands.
        outputs: How many results are wanted.
        **attributes: Its attributes.
    """
    results = _handler(name)(Call(name, _OPSET, inputs, attributes, outputs))
    return [results] if isinstance(results, Masked) else list(results)


def _handler(name: str) -> Handler:
    handler = find("", name)
    assert handler is not None, name
    return handler


def activated(call: Call, x: Masked) -> Masked:
    """What the activation that is fused into a node makes of its result."""
    name = call.attribute("activation", "")
    if not name:
        return x
    if name in _PLAIN:
        return elementwise(_PLAIN[name], x)
    if name not in _NUMBERED:
        raise call.refuse(f"a fused {name}")
    return _numbered(call, name, x, "activation_")


def _numbered(call: Call, name: str, x: Masked, prefix: str) -> Masked:
    """An activation by numbers that attributes give, those of convolutions in one list."""
    function, defaults = _NUMBERED[name]
    names = (f"{prefix}{letter}" for letter in ("alpha", "beta"))
    single = [call.attribute(n, default) for n, default in zip(names, defaults, strict=False)]
    numbers = call.attribute("activation_params") or single
    if len(numbers) != len(defaults):
        raise call.refuse(f"a fused {name} of {len(numbers)} numbers")
    return elementwise(lambda values: function(values, *numbers), x)


def total(*operands: Masked | None) -> Masked:
    """The sum of those operands that are there."""
    first, *others = (x for x in operands if x is not None)
    for other in others:
        first = elementwise(torch.add, first, other)
    return first


@operator("com.microsoft::FusedConv")
def _fused_conv(call: Call) -> Masked:
    [result] = run("Conv", *call.inputs[:3], **call.attributes)
    return activated(call, total(result, call.optional(3)))


@operator("com.microsoft::NhwcConv", "com.microsoft::NhwcFusedConv")
def _channels_last_conv(call: Call) -> Masked:
    x, w = channels_first(call[0]), call[1]
    if w.shape[1] != x.shape[1] // call.attribute("group", 1):
        w = channels_first(w)
    [result] = run("Conv", x, w, call.optional(2), **call.attributes)
    return activated(call, total(channels_last(result), call.optional(3)))


def channels_first(x: Masked) -> Masked:
    """An image whose channels come last, with its channels after the batch."""
    rank = x.value.ndim
    return permute(x, [0, rank - 1, *range(1, rank - 1)])


def channels_last(x: Masked) -> Masked:
    """An image whose channels come after the batch, with its channels last."""
    return permute(x, [0, *range(2, x.value.ndim), 1])


@operator("com.microsoft::ConvTransposeWithDynamicPads")
def _conv_transpose(call: Call) -> Masked:
    attributes = dict(call.attributes)
    pads = call.optional_setting(2)
    if pads is not None:
        attributes["pads"] = [int(number) for number in pads.flatten().tolist()]
    return run("ConvTranspose", call[0], call[1], call.optional(3), **attributes)[0]


@operator("com.microsoft::FusedGemm")
def _fused_gemm(call: Call) -> Masked:
    return activated(call, run("Gemm", *call.inputs, **call.attributes)[0])


@operator(
    *("com.microsoft::FusedMatMul", "com.microsoft::FusedMatMulActivation"),
    "com.microsoft::TransposeMatMul",
)
def _fused_matmul(call: Call) -> Masked:
    product = matmul(_turned(call, 0, "A"), _turned(call, 1, "B"))
    alpha = call.attribute("alpha", 1.0)
    return activated(call, Masked(product.value * alpha, product.levels))


def _turned(call: Call, position: int, operand: str) -> Masked:
    """An operand of a product, as MatMul wants it."""
    x = call[position]
    rank = x.value.ndim
    if rank > 2 and call.attribute(f"transBatch{operand}", 0):
        x = permute(x, [*range(1, rank - 1), 0, rank - 1])
    if rank > 1 and call.attribute(f"trans{operand}", 0):
        x = permute(x, [*range(rank - 2), rank - 1, rank - 2])
    return x


@operator("com.microsoft::GemmFastGelu")
def _gemm_fast_gelu(call: Call) -> Masked:
    product = total(matmul(call[0], call[1]), call.optional(2))
    return elementwise(lambda x: F.gelu(x, approximate="tanh"), product)


@operator("com.microsoft::BiasGelu", "com.microsoft::FastGelu", "com.microsoft::Gelu")
def _gelu(call: Call) -> Masked:
    approximate = "tanh" if call.operator == "FastGelu" else "none"
    return elementwise(lambda x: F.gelu(x, approximate=approximate), total(*call.inputs))


@operator("com.microsoft::QuickGelu")
def _quick_gelu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.702)
    return elementwise(lambda x: x * torch.sigmoid(alpha * x), call[0])


@operator("com.microsoft::BiasAdd")
def _bias_add(call: Call) -> Masked:
    return total(*call.inputs)


@operator("com.microsoft::BiasSplitGelu")
def _bias_split_gelu(call: Call) -> Masked:
    x = total(*call.inputs)
    half = x.shape[-1] // 2
    value, gate = (take(x, -1, torch.arange(half) + start) for start in (0, half))
    return elementwise(torch.mul, value, elementwise(F.gelu, gate), absorbs=True)


@operator(
    *("com.microsoft::BiasDropout", "com.microsoft::BitmaskBiasDropout"),
    "com.microsoft::BitmaskDropout",
)
def _dropout(call: Call) -> list[Masked]:
    operands = 1 if call.operator == "BitmaskDropout" else 3
    training = call.optional_setting(operands + 1)
    if training is not None and bool(training):
        raise call.refuse("training mode")
    result = total(*call.inputs[:operands])
    if call.outputs == 1:
        return [result]
    if call.operator != "BiasDropout":
        raise call.refuse("a mask of bits")
    return [result, elementwise(lambda x: torch.ones_like(x, dtype=torch.bool), result)]


@operator("Affine", "ParametricSoftplus", "ScaledTanh")
def _experimental(call: Call) -> Masked:
    return _numbered(call, call.operator, call[0], "")


@operator("MemcpyFromHost", "MemcpyToHost")
def _copied(call: Call) -> Masked:
    return call[0]


@operator("Scale")
def _scale(call: Call) -> Masked:
    scale = call.attribute("scale", 1.0)
    return elementwise(lambda x: x * scale, call[0])


@operator("ai.onnx.ml::Binarizer")
def _binarizer(call: Call) -> Masked:
    threshold = call.attribute("threshold", 0.0)
    return elementwise(lambda x: (x > threshold).to(x.dtype), call[0])
