"""ECA-Net (https://arxiv.org/abs/1910.03151): a gate that sees neighbouring channels."""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.resnet import BasicBlock, ResNet


class ChannelAttention(nn.Module):
    """Every channel times a gate: a convolution over the means of the channels next to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(math.log2(channels) + 1) // 2 | 1  # odd
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w), gated; its shape stays."""
        means = self.avgpool(x).flatten(2).transpose(1, 2)
        return x * self.gate(self.conv(means)).transpose(1, 2).unsqueeze(-1)


class ECABlock(BasicBlock):
    """A basic block whose second convolution is gated."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride)
        self.attention = ChannelAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the shortcut plus the branch."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.attention(self.bn2(self.conv2(x)))
        return self.relu(x + shortcut)


def eca_resnet18() -> ResNet:
    """ECA-ResNet-18: 11,689,548 parameters.

    Units: the 8 inner widths; every stream passes a convolution over its channels.
    """
    return ResNet(ECABlock, (2, 2, 2, 2))
