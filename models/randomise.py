"""Random values for every tensor of a module, so that a parity test says something about each.

A freshly built network hides mistakes: its biases are zero, its norms are the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GAIN = 1.5  # between 1 and ReLU's 2: plain nets do not fade and residual sums do not explode


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give all parameters and running statistics random values, in place.

    Weights of rank one (of norms, say) and running variances lie in 0.5..1.5, biases and running
    means are normal with deviation 0.1, other weights are normal and scaled by their fan-in.
    Other buffers (masks, indices, frequencies) belong to the architecture and stay.

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
    return module.eval()


def fill(weight: Tensor, generator: torch.Generator) -> None:
    """A weight near one if it is a vector, else normal with variance GAIN / fan-in."""
    if weight.ndim < 2:
        weight.uniform_(0.5, 1.5, generator=generator)
    else:
        fan_in = weight[0].numel()
        weight.normal_(0, math.sqrt(GAIN / fan_in), generator=generator)
