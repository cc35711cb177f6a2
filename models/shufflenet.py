"""ShuffleNetV2 (https://arxiv.org/abs/1807.11164)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import conv_norm


def shuffle(x: Tensor) -> Tensor:
    """The channels of the two halves of (n, c, h, w), alternating."""
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """One half of the channels is filtered, the other stays; with a stride, both are filtered."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        width = outputs // 2
        self.branch1 = None
        if stride > 1:
            self.branch1 = nn.Sequential(
                conv_norm(inputs, inputs, 3, stride, inputs, activation=None),
                conv_norm(inputs, width),
            )
        self.branch2 = nn.Sequential(
            conv_norm(inputs if stride > 1 else width, width),
            conv_norm(width, width, 3, stride, width, activation=None),
            conv_norm(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Both halves, shuffled."""
        if self.branch1 is None:
            stays, filtered = x.chunk(2, 1)
        else:
            stays, filtered = self.branch1(x), x
        return shuffle(torch.cat([stays, self.branch2(filtered)], 1))


class ShuffleNetV2(nn.Module):
    """Three stages of 4, 8 and 4 units between two ordinary convolutions.

    Width 1.0: 2,278,604 parameters.

    What can be pruned: the first and the last convolution, a hidden width in each of 16 shuffle
    units, and 13 parts of the streams. A shuffle ties the two halves index by index. The upper
    half of these indices is filtered by the next unit and ends there; the lower half passes on,
    every index twice, and half of it ends one unit later, and so on: 29, 14, 6 and the 7 that
    reach the end of the first stage; 58, 29, 14, 6, 3 of the second; 116, 58, 29, 29 of the
    third. Where a half is odd, the index astride the middle is on its own and stays.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = conv_norm(3, 24, 3, 2)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        width = 24
        stages: list[nn.Module] = []
        for outputs, depth in ((116, 4), (232, 8), (464, 4)):
            units = [ShuffleUnit(width, outputs, 2)]
            units += [ShuffleUnit(outputs, outputs, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*units))
            width = outputs
        self.stages = nn.Sequential(*stages)
        self.conv5 = conv_norm(width, 1024)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1024, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.conv5(self.stages(self.maxpool(self.conv1(image))))
        return self.fc(self.avgpool(x).flatten(1))


def shufflenet_v2() -> ShuffleNetV2:
    """ShuffleNetV2 at width 1.0."""
    return ShuffleNetV2()
