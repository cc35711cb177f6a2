"""VoVNet-V2 (https://arxiv.org/abs/1911.06667)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import conv_norm

STAGES = ((64, 112), (80, 256), (96, 384), (112, 512))  # of each layer, of the whole


class EffectiveSqueezeExcitation(nn.Module):
    """Every channel times a gate that sees the mean of all, without a bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w), gated; its shape stays."""
        return x * self.gate(self.fc(self.avgpool(x)))


class OneShotAggregation(nn.Module):
    """Three 3x3 convolutions in a row; the input and all they gave, concatenated and mixed."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            conv_norm(inputs if index == 0 else width, width, 3) for index in range(3)
        )
        self.mix = conv_norm(inputs + 3 * width, outputs)
        self.excite = EffectiveSqueezeExcitation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w)."""
        given = [x]
        for conv in self.convs:
            given.append(conv(given[-1]))
        return self.excite(self.mix(torch.cat(given, 1)))


class VoVNet(nn.Module):
    """A three-convolution stem and four aggregations.

    VoVNet-V2-19-slim: 3,166,136 parameters. Units: 3 of the stem; in each of 4 stages three
    layers and the output, whose gates read and write the same channels.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm(3, 64, 3, 2), conv_norm(64, 64, 3), conv_norm(64, 128, 3, 2)
        )
        layers: list[nn.Module] = []
        inputs = 128
        for width, outputs in STAGES:
            if layers:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            layers.append(OneShotAggregation(inputs, width, outputs))
            inputs = outputs
        self.stages = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.stages(self.stem(image)))
        return self.fc(x.flatten(1))


def vovnet19_slim() -> VoVNet:
    """VoVNet-V2-19-slim: one aggregation in each stage."""
    return VoVNet()
