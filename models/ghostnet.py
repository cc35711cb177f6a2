"""GhostNet (https://arxiv.org/abs/1911.11907)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import Activation, SqueezeExcitation, conv_norm, divisible

# kernel, hidden channels, output channels, squeeze and excitation, stride
BLOCKS = (
    (3, 16, 16, False, 1),
    (3, 48, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
)


class GhostModule(nn.Module):
    """Half of the channels by a 1x1 convolution, their ghosts by a cheap depthwise one."""

    def __init__(self, inputs: int, outputs: int, activation: Activation | None = nn.ReLU) -> None:
        super().__init__()
        half = outputs // 2
        self.primary = conv_norm(inputs, half, activation=activation)
        self.cheap = conv_norm(half, half, 3, groups=half, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """The channels and their ghosts, concatenated."""
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], 1)


class GhostBottleneck(nn.Module):
    """Two Ghost modules, between them a depthwise stride and a squeeze and excitation."""

    def __init__(
        self, inputs: int, kernel: int, hidden: int, outputs: int, excite: bool, stride: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [GhostModule(inputs, hidden)]
        if stride > 1:
            layers.append(conv_norm(hidden, hidden, kernel, stride, hidden, activation=None))
        if excite:
            squeezed = divisible(hidden / 4, 4)
            layers.append(SqueezeExcitation(hidden, squeezed, gate=nn.Hardsigmoid))
        layers.append(GhostModule(hidden, outputs, activation=None))
        self.branch = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                conv_norm(inputs, inputs, kernel, stride, inputs, activation=None),
                conv_norm(inputs, outputs, activation=None),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The branch plus the shortcut."""
        return self.branch(x) + self.shortcut(x)


class GhostNet(nn.Module):
    """Sixteen Ghost bottlenecks.

    Width 1.0: 5,182,508 parameters. Units (a channel and its ghost go together, and so tie the
    two halves of every stream): 6 streams, of which the first is the stem's, 16 hidden widths,
    7 squeezes, the last two convolutions.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, 16, 3, 2)
        width = 16
        blocks = []
        for kernel, hidden, outputs, excite, stride in BLOCKS:
            blocks.append(GhostBottleneck(width, kernel, hidden, outputs, excite, stride))
            width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = conv_norm(width, 960)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Conv2d(960, 1280, 1), nn.ReLU())
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.last(self.blocks(self.stem(image)))
        x = self.head(self.avgpool(x)).flatten(1)
        return self.classifier(self.dropout(x))


def ghostnet() -> GhostNet:
    """GhostNet at width 1.0."""
    return GhostNet()
