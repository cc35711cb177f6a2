"""Res2Net (https://arxiv.org/abs/1904.01169)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import conv_norm

WIDTH, SCALE = 26, 4  # channels of each split in the first stage, number of splits


class Bottle2neck(nn.Module):
    """A bottleneck whose channels are split; each split is filtered with what the one before gave.

    The first block of a stage has a projection, filters its splits on their own and pools the
    last one; the others leave the last one as it is.
    """

    def __init__(self, inputs: int, planes: int, stride: int, first: bool) -> None:
        super().__init__()
        width = planes * WIDTH // 64
        self.first = first
        self.conv1 = conv_norm(inputs, width * SCALE)
        self.convs = nn.ModuleList(conv_norm(width, width, 3, stride) for _ in range(SCALE - 1))
        self.conv3 = conv_norm(width * SCALE, 4 * planes, activation=None)
        self.pool: nn.Module = nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if first:
            self.pool = nn.AvgPool2d(3, stride, padding=1)
            self.downsample = conv_norm(inputs, 4 * planes, stride=stride, activation=None)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the shortcut plus the branch."""
        *splits, last = self.conv1(x).chunk(SCALE, 1)
        filtered: list[Tensor] = []
        for split, conv in zip(splits, self.convs, strict=True):
            alone = self.first or not filtered
            filtered.append(conv(split if alone else split + filtered[-1]))
        filtered.append(self.pool(last))
        return self.relu(self.conv3(torch.cat(filtered, 1)) + self.downsample(x))


class Res2Net(nn.Module):
    """A 7x7 stem and four stages of `Bottle2neck`."""

    def __init__(self, depths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        inputs = 64
        blocks = []
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Bottle2neck(inputs, 64 * 2**stage, stride, first=index == 0))
                inputs = 256 * 2**stage
        self.layers = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.layers(self.stem(image)))
        return self.fc(x.flatten(1))


def res2net50() -> Res2Net:
    """Res2Net-50 with 4 splits of 26 channels: 25,699,120 parameters."""
    return Res2Net((3, 4, 6, 3))


def res2net26() -> Res2Net:
    """Two blocks in every stage instead of 3, 4, 6 and 3.

    Units: stem, 4 streams; 4 splits and 3 filtered splits in each of 4 first blocks; in each of
    the 4 others the sums tie splits 2 and 3 to the filtered splits 1 and 2, which leaves 5.
    """
    return Res2Net((2, 2, 2, 2))
