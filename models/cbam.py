"""CBAM (https://arxiv.org/abs/1807.06521): gates for channels, then gates for places."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.resnet import BasicBlock, ResNet


class ChannelGate(nn.Module):
    """Every channel times a gate; one perceptron reads the means and the maxima of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.maximum = nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels, channels // 16),
            nn.ReLU(),
            nn.Linear(channels // 16, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w), gated; its shape stays."""
        scores = self.mlp(self.mean(x)) + self.mlp(self.maximum(x))
        return x * scores.sigmoid()[:, :, None, None]


class SpatialGate(nn.Module):
    """Every place times a gate that sees the mean and the maximum of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w), gated; its shape stays."""
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.bn(self.conv(seen)).sigmoid()


class CBAMBlock(BasicBlock):
    """A basic block whose second convolution is gated twice."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride)
        self.gates = nn.Sequential(ChannelGate(width), SpatialGate())

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the shortcut plus the branch."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.gates(self.bn2(self.conv2(x)))
        return self.relu(x + shortcut)


def cbam_resnet18() -> ResNet:
    """ResNet-18 with CBAM: 11,779,392 parameters.

    Units: 4 streams, 8 inner widths, 8 hidden widths of the perceptrons.
    """
    return ResNet(CBAMBlock, (2, 2, 2, 2))
