"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.masked import Masked, elementwise
from onnxprune.torch.registry import Call, operator

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "HardSwish": F.hardswish,
    "Mish": F.mish,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}


@operator(*_PLAIN)
def _plain(call: Call) -> Masked:
    return elementwise(_PLAIN[call.operator], call[0])


@operator("LeakyRelu")
def _leaky_relu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 0.01)
    return elementwise(lambda x: F.leaky_relu(x, alpha), call[0])


@operator("Elu")
def _elu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.0)
    return elementwise(lambda x: F.elu(x, alpha), call[0])


@operator("Celu")
def _celu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.0)
    return elementwise(lambda x: F.celu(x, alpha), call[0])


@operator("Selu")
def _selu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.67326319217681884765625)
    gamma = call.attribute("gamma", 1.05070102214813232421875)
    return elementwise(lambda x: gamma * F.elu(x, alpha), call[0])


@operator("ThresholdedRelu")
def _thresholded_relu(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.0)
    return elementwise(lambda x: torch.where(x > alpha, x, torch.zeros_like(x)), call[0])


@operator("HardSigmoid")
def _hard_sigmoid(call: Call) -> Masked:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return elementwise(lambda x: (alpha * x + beta).clamp(0, 1), call[0])


@operator("Gelu")
def _gelu(call: Call) -> Masked:
    approximate = call.attribute("approximate", "none")
    return elementwise(lambda x: F.gelu(x, approximate=approximate), call[0])


@operator("Swish")
def _swish(call: Call) -> Masked:
    alpha = call.attribute("alpha", 1.0)
    return elementwise(lambda x: x * torch.sigmoid(alpha * x), call[0])


@operator("Shrink")
def _shrink(call: Call) -> Masked:
    bias, lambd = call.attribute("bias", 0.0), call.attribute("lambd", 0.5)

    def shrink(x: Tensor) -> Tensor:
        zero = torch.zeros_like(x)
        return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)).to(x.dtype)

    return elementwise(shrink, call[0])


@operator("PRelu")
def _prelu(call: Call) -> Masked:
    return elementwise(
        lambda x, slope: torch.where(x < 0, x * slope, x), call[0], call[1], absorbs=True
    )
