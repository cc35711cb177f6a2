"""Layers that many convolutional networks share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["Activation", "SqueezeExcitation", "conv_norm", "divisible"]

Activation = Callable[[], nn.Module]


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), batch norm, activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """Every channel times a gate that sees the mean of all (https://arxiv.org/abs/1709.01507)."""

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Activation = nn.ReLU,
        gate: Activation = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w), gated; its shape stays."""
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        return x * self.gate(self.fc2(squeezed))


def divisible(width: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, but never less than 0.9 of the width."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor
