"""Random values for every tensor of a module, so that a parity test says something about each.

A freshly built network hides mistakes: its biases are zero, its norms are the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

GAIN = 1.5  # between 1 and ReLU's 2: plain nets do not fade and residual sums do not explode


@torch.no_grad()
def randomise(
    module: nn.Module, seed: int = 0, example: tuple[Tensor, ...] | None = None
) -> nn.Module:
    """Give all parameters and running statistics random values, in place.

    Weights of rank one (of norms, say) and running variances lie in 0.5..1.5, biases and running
    means are normal with deviation 0.1, other weights are normal and scaled by their fan-in.
    Other buffers (masks, indices, frequencies) belong to the architecture and stay.

    Args:
        module: What to fill.
        seed: Equal seeds give equal values.
        example: Inputs of `forward`. With them the running statistics fit the size of what the
            norms see, so that no signal fades or explodes on its way through a deep network.

    Returns:
        The module, in eval mode.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        last = name.rpartition(".")[2]
        if last == "running_var":
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif last == "running_mean" or (isinstance(tensor, nn.Parameter) and "bias" in last):
            tensor.normal_(0, 0.1, generator=generator)
        elif isinstance(tensor, nn.Parameter):
            fill(tensor, generator)
    module.eval()
    if example is not None:
        settle(module, example)
    return module


def settle(module: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Scale the running statistics of each batch norm by the size of what it first sees.

    What a norm sees is not centred: that would leave little but rounding where a network sees
    noise, and would let a network die of inputs that are smaller than the example.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        hooks.pop(norm).remove()
        size = inputs[0].square().mean()
        norm.running_mean.mul_(size.sqrt())
        norm.running_var.mul_(size)

    hooks = {
        norm: norm.register_forward_pre_hook(measure)
        for norm in module.modules()
        if isinstance(norm, _BatchNorm)
    }
    module(*example)


def fill(weight: Tensor, generator: torch.Generator) -> None:
    """A weight near one if it is a vector, else normal with variance GAIN / fan-in."""
    if weight.ndim < 2:
        weight.uniform_(0.5, 1.5, generator=generator)
    else:
        fan_in = weight[0].numel()
        weight.normal_(0, math.sqrt(GAIN / fan_in), generator=generator)
