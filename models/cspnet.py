"""CSPDarknet (https://arxiv.org/abs/1911.11929): half of a stage's channels pass it by."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import conv_norm as with_activation

conv_norm = functools.partial(
    with_activation, activation=functools.partial(nn.LeakyReLU, negative_slope=0.1)
)


class DarkBlock(nn.Module):
    """A 1x1 and a 3x3 convolution, plus the input."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = conv_norm(channels, hidden)
        self.conv2 = conv_norm(hidden, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The input plus the branch."""
        return x + self.conv2(self.conv1(x))


class CrossStage(nn.Module):
    """Half the resolution; one half of the channels through the blocks, the other around them."""

    def __init__(self, inputs: int, outputs: int, depth: int, first: bool) -> None:
        super().__init__()
        width = outputs if first else outputs // 2  # of each half
        self.down = conv_norm(inputs, outputs, 3, 2)
        self.expand = conv_norm(outputs, 2 * width)
        self.blocks = nn.Sequential(*(DarkBlock(width, outputs // 2) for _ in range(depth)))
        self.transition = conv_norm(width, width)
        self.merge = conv_norm(2 * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""
        around, through = self.expand(self.down(x)).chunk(2, 1)
        return self.merge(torch.cat([around, self.transition(self.blocks(through))], 1))


class CSPDarknet(nn.Module):
    """Five cross stages, each twice as wide as the one before.

    Units: stem; in every stage the strided convolution, the half that passes by, the stream of
    the other half, a hidden width for each block, the transition and the output.
    """

    def __init__(self, stem: int, depths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, stem, 3)
        width = stem
        stages = []
        for stage, depth in enumerate(depths):
            stages.append(CrossStage(width, 2 * width, depth, first=stage == 0))
            width *= 2
        self.stages = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.stages(self.stem(image)))
        return self.fc(x.flatten(1))


def cspdarknet53() -> CSPDarknet:
    """CSPDarknet-53: 27,642,184 parameters."""
    return CSPDarknet(32, (1, 2, 8, 8, 4))


def cspdarknet_small() -> CSPDarknet:
    """Half as wide and about a third as deep, as the detectors' small versions are."""
    return CSPDarknet(16, (1, 1, 3, 3, 1))
