"""ResNeSt (https://arxiv.org/abs/2004.08955)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import conv_norm

RADIX = 2


class SplitAttention(nn.Module):
    """A grouped convolution, as many answers as groups, weighed against each other by a softmax."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        squeezed = max(32, channels * RADIX // 4)
        self.conv = conv_norm(channels, channels * RADIX, 3, stride, groups=RADIX)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.BatchNorm2d(squeezed), nn.ReLU()
        )
        self.fc2 = nn.Conv2d(squeezed, channels * RADIX, 1)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """The weighed answers (n, c, h, w)."""
        answers = self.conv(x).unflatten(1, (RADIX, -1))
        scores = self.fc2(self.fc1(self.avgpool(answers.sum(1))))
        weights = self.softmax(scores.unflatten(1, (RADIX, -1)))
        return (answers * weights).sum(1)


class ResNeStBlock(nn.Module):
    """A bottleneck around a split attention; pools take the place of strides."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.outputs = 4 * width
        self.conv1 = conv_norm(inputs, width)
        self.conv2 = SplitAttention(width, stride=1)
        self.pool = nn.AvgPool2d(3, stride, padding=1) if first else nn.Identity()
        self.conv3 = conv_norm(width, self.outputs, activation=None)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if first:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
                if stride > 1
                else nn.Identity(),
                conv_norm(inputs, self.outputs, activation=None),
            )

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the shortcut plus the branch."""
        branch = self.conv3(self.pool(self.conv2(self.conv1(x))))
        return self.relu(branch + self.downsample(x))


class ResNeSt(nn.Module):
    """Three 3x3 convolutions and four stages of `ResNeStBlock`."""

    def __init__(self, depths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm(3, 32, 3, 2), conv_norm(32, 32, 3), conv_norm(32, 64, 3)
        )
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = 64
        blocks = []
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(ResNeStBlock(inputs, 64 * 2**stage, stride, first=index == 0))
                inputs = blocks[-1].outputs
        self.layers = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.layers(self.maxpool(self.stem(image)))
        return self.fc(self.avgpool(x).flatten(1))


def resnest14d() -> ResNeSt:
    """ResNeSt-14: 10,611,688 parameters.

    Units: the stem's three convolutions, 4 streams; in each of 4 blocks the groups (the answers),
    the channels of a group before the 3x3 convolution, those after it, and the squeeze.
    """
    return ResNeSt((1, 1, 1, 1))
