"""Video ResNets (https://arxiv.org/abs/1711.11248): convolutions over time, height and width."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

Conv = Callable[[int, int, int], nn.Module]  # inputs, outputs, stride


def conv3d(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    """A 3x3x3 convolution."""
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv2plus1d(inputs: int, outputs: int, stride: int, middle: int) -> nn.Sequential:
    """A 3x3 convolution over space and one of three steps over time."""
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class Block(nn.Module):
    """Two convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, factored: bool) -> None:
        super().__init__()
        conv: Conv = conv3d
        if factored:  # as many parameters as the 3x3x3 convolutions
            middle = inputs * outputs * 27 // (inputs * 9 + 3 * outputs)
            conv = partial(conv2plus1d, middle=middle)
        self.conv1 = nn.Sequential(conv(inputs, outputs, stride), nn.BatchNorm3d(outputs))
        self.conv2 = nn.Sequential(conv(outputs, outputs, 1), nn.BatchNorm3d(outputs))
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv3d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm3d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branch plus the shortcut."""
        return self.relu(self.conv2(self.relu(self.conv1(x))) + self.shortcut(x))


class VideoResNet(nn.Module):
    """A stem that strides in space, four stages of two blocks, an average, one linear layer.

    Args:
        width: Channels of the first stage; each later one has twice as many.
        factored: Whether convolutions are split into space and time, R(2+1)D instead of R3D.
        classes: Classes of a clip.
    """

    def __init__(self, width: int, factored: bool, classes: int = 400) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_stem(width, factored), nn.BatchNorm3d(width), nn.ReLU())
        blocks, inputs = [], width
        for stage in range(4):
            outputs = width * 2**stage
            blocks += [
                Block(inputs, outputs, 1 if stage == 0 else 2, factored),
                Block(outputs, outputs, 1, factored),
            ]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (n, classes) of the clips (n, 3, t, h, w)."""
        return self.fc(self.avgpool(self.blocks(self.stem(clip))).flatten(1))


def _stem(width: int, factored: bool) -> list[nn.Module]:
    if not factored:
        return [nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)]
    middle = 45 * width // 64
    return [
        nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(middle, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
    ]


def r3d_18() -> VideoResNet:
    """R3D-18 of half the width."""
    return VideoResNet(32, factored=False)


def r2plus1d_18() -> VideoResNet:
    """R(2+1)D-18 of half the width."""
    return VideoResNet(32, factored=True)
