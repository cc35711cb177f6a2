"""RepVGG as it is trained, with three branches (https://arxiv.org/abs/2101.03697)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import conv_norm


class RepVGGBlock(nn.Module):
    """A 3x3 convolution, a 1x1 convolution and, where shapes allow, the input; each normed."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.dense = conv_norm(inputs, outputs, 3, stride, activation=None)
        self.pointwise = conv_norm(inputs, outputs, 1, stride, activation=None)
        alike = inputs == outputs and stride == 1
        self.identity = nn.BatchNorm2d(inputs) if alike else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branches' sum."""
        total = self.dense(x) + self.pointwise(x)
        return self.relu(total if self.identity is None else total + self.identity(x))


class RepVGG(nn.Module):
    """A stack of blocks in five stages."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        inputs = 3
        blocks = []
        for depth, width in zip(depths, widths, strict=True):
            for index in range(depth):
                blocks.append(RepVGGBlock(inputs, width, 2 if index == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        return self.fc(self.avgpool(self.blocks(image)).flatten(1))


def repvgg_a0() -> RepVGG:
    """RepVGG-A0: 9,108,968 parameters.

    Units: the normed inputs tie all blocks of a stage, which leaves one for each of 5 stages.
    """
    return RepVGG((1, 2, 4, 14, 1), (48, 48, 96, 192, 1280))
