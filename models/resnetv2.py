"""ResNet with norms before its convolutions (https://arxiv.org/abs/1603.05027), as in BiT.

BiT (https://arxiv.org/abs/1912.11370) norms groups of channels instead of batches, and
standardises the weights (https://arxiv.org/abs/1903.10520) every time it uses them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class StandardisedConv(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        variance = self.weight.var((1, 2, 3), keepdim=True, unbiased=False)
        weight = (self.weight - mean) / (variance + 1e-8).sqrt()
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)


def norm(channels: int) -> nn.Sequential:
    """Norm of 32 groups, ReLU."""
    return nn.Sequential(nn.GroupNorm(32, channels), nn.ReLU())


class PreActBottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each after a norm; the shortcut branches off the first."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.norm = norm(inputs)
        self.branch = nn.Sequential(
            StandardisedConv(inputs, width),
            norm(width),
            StandardisedConv(width, width, 3, stride),
            norm(width),
            StandardisedConv(width, 4 * width),
        )
        self.downsample = StandardisedConv(inputs, 4 * width, 1, stride) if first else None

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut plus the branch."""
        normed = self.norm(x)
        shortcut = x if self.downsample is None else self.downsample(normed)
        return shortcut + self.branch(normed)


class ResNetV2(nn.Module):
    """A 7x7 stem and four stages of bottlenecks; the last norm stands before the pool."""

    def __init__(self, depths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        self.stem = StandardisedConv(3, 64, 7, 2)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = 64
        blocks = []
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(PreActBottleneck(inputs, 64 * 2**stage, stride, first=index == 0))
                inputs = 256 * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm(inputs)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.norm(self.blocks(self.maxpool(self.stem(image))))
        return self.fc(self.avgpool(x).flatten(1))


def resnetv2_50() -> ResNetV2:
    """BiT-R50x1: 25,549,352 parameters."""
    return ResNetV2((3, 4, 6, 3))


def resnetv2_14() -> ResNetV2:
    """One block in every stage instead of 3, 4, 6 and 3.

    Units: all that is normed has groups and the channels of a group: the stem, 4 streams and two
    inner widths of each of 4 blocks, 2 * (1 + 4 + 8).
    """
    return ResNetV2((1, 1, 1, 1))
