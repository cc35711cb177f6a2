"""Dual path networks (https://arxiv.org/abs/1707.01629): a residual and a dense path at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# width of the residual path, blocks, channels that each block adds to the dense path
STAGES = ((64, 3, 16), (128, 4, 32), (256, 12, 32), (512, 3, 64))


def norm_conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Batch norm, ReLU, convolution."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs, eps=0.001),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
    )


class DualPathBlock(nn.Module):
    """A bottleneck: some channels of what it gives are added, the others concatenated."""

    def __init__(self, inputs: int, width: int, growth: int, stride: int, first: bool) -> None:
        super().__init__()
        hidden = 2 * width
        self.width = width
        self.projection = None
        if first:
            self.projection = norm_conv(inputs, width + 2 * growth, stride=stride)
        self.branch = nn.Sequential(
            norm_conv(inputs, hidden),
            norm_conv(hidden, hidden, 3, stride, groups=32),
            norm_conv(hidden, width + growth),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The residual path, changed, and behind it the dense path, longer."""
        paths = x if self.projection is None else self.projection(x)
        residual, dense = paths[:, : self.width], paths[:, self.width :]
        branch = self.branch(x)
        added, appended = branch[:, : self.width], branch[:, self.width :]
        return torch.cat([residual + added, dense, appended], 1)


class DPN(nn.Module):
    """Four stages of dual path blocks."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 10, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(10, eps=0.001),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        inputs = 10
        blocks = []
        for stage, (width, depth, growth) in enumerate(STAGES):
            for index in range(depth):
                first = index == 0
                stride = 2 if first and stage > 0 else 1
                blocks.append(DualPathBlock(inputs, width, growth, stride, first))
                inputs = width + 3 * growth if first else inputs + growth
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(inputs, eps=0.001), nn.ELU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.last(self.blocks(self.stem(image)))
        return self.classifier(self.avgpool(x)).flatten(1)


def dpn68() -> DPN:
    """DPN-68: 12,611,602 parameters.

    Units: stem; in each of 4 stages the residual path and what the projection gives the dense
    path; in each of 22 blocks what it adds to the dense path, the groups, and the channels of a
    group on either side of the 3x3 convolution.
    """
    return DPN()
