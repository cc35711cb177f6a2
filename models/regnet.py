"""RegNet (https://arxiv.org/abs/2003.13678)."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers import SqueezeExcitation, conv_norm


class YBlock(nn.Module):
    """1x1, grouped 3x3, squeeze and excitation, 1x1; no bottleneck."""

    def __init__(self, inputs: int, outputs: int, stride: int, group_width: int) -> None:
        super().__init__()
        groups = outputs // group_width
        self.branch = nn.Sequential(
            conv_norm(inputs, outputs),
            conv_norm(outputs, outputs, 3, stride, groups),
            SqueezeExcitation(outputs, round(inputs / 4)),
            conv_norm(outputs, outputs, activation=None),
        )
        self.projection: nn.Module = nn.Identity()
        if inputs != outputs or stride > 1:
            self.projection = conv_norm(inputs, outputs, stride=stride, activation=None)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the shortcut plus the branch."""
        return self.relu(self.projection(x) + self.branch(x))


class RegNetY(nn.Module):
    """A 3x3 stem and four stages of `YBlock`.

    400MF: 4,344,144 parameters.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, 32, 3, 2)
        width = 32
        blocks = []
        for outputs, depth in ((48, 1), (104, 3), (208, 6), (440, 6)):
            for index in range(depth):
                blocks.append(YBlock(width, outputs, 2 if index == 0 else 1, group_width=8))
                width = outputs
        self.trunk = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.trunk(self.stem(image)))
        return self.fc(x.flatten(1))


def regnet_y_400mf() -> RegNetY:
    """RegNetY-400MF.

    Units: stem, 4 streams; in each of 16 blocks the groups, the channels of a group on either
    side of the 3x3 convolution, and the squeeze.
    """
    return RegNetY()
