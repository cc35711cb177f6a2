"""Inception-v3 (https://arxiv.org/abs/1512.00567)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]


def conv(
    inputs: int, outputs: int, kernel: Size, stride: int = 1, padded: bool = True
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; with stride 1 it keeps the size unless told not to pad."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if padded and stride == 1 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs, eps=0.001),
        nn.ReLU(),
    )


def pool_conv(inputs: int, outputs: int) -> nn.Sequential:
    """The mean of 3x3 places, and a 1x1 convolution."""
    return nn.Sequential(nn.AvgPool2d(3, 1, padding=1), conv(inputs, outputs, 1))


class Branches(nn.Module):
    """Branches side by side, their channels concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """The channels of all branches, in order."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def inception_a(inputs: int, pooled: int) -> Branches:
    """The paper's figure 5: one 5x5 filter beside two 3x3 filters in a row."""
    return Branches(
        conv(inputs, 64, 1),
        nn.Sequential(conv(inputs, 48, 1), conv(48, 64, 5)),
        nn.Sequential(conv(inputs, 64, 1), conv(64, 96, 3), conv(96, 96, 3)),
        pool_conv(inputs, pooled),
    )


def reduction_a(inputs: int) -> Branches:
    """Half the height and width, by stride and by pool side by side (figure 10)."""
    return Branches(
        conv(inputs, 384, 3, stride=2),
        nn.Sequential(conv(inputs, 64, 1), conv(64, 96, 3), conv(96, 96, 3, stride=2)),
        nn.MaxPool2d(3, 2),
    )


def inception_b(inputs: int, width: int) -> Branches:
    """7x7 filters, each written as 1x7 and 7x1 (figure 6)."""
    return Branches(
        conv(inputs, 192, 1),
        nn.Sequential(conv(inputs, width, 1), conv(width, width, (1, 7)), conv(width, 192, (7, 1))),
        nn.Sequential(
            conv(inputs, width, 1),
            conv(width, width, (7, 1)),
            conv(width, width, (1, 7)),
            conv(width, width, (7, 1)),
            conv(width, 192, (1, 7)),
        ),
        pool_conv(inputs, 192),
    )


def reduction_b(inputs: int) -> Branches:
    """Half the height and width again, with one 7x7 filter."""
    return Branches(
        nn.Sequential(conv(inputs, 192, 1), conv(192, 320, 3, stride=2)),
        nn.Sequential(
            conv(inputs, 192, 1),
            conv(192, 192, (1, 7)),
            conv(192, 192, (7, 1)),
            conv(192, 192, 3, stride=2),
        ),
        nn.MaxPool2d(3, 2),
    )


def inception_c(inputs: int) -> Branches:
    """3x3 filters that fan out into 1x3 and 3x1 side by side (figure 7)."""

    def fan() -> Branches:
        return Branches(conv(384, 384, (1, 3)), conv(384, 384, (3, 1)))

    return Branches(
        conv(inputs, 320, 1),
        nn.Sequential(conv(inputs, 384, 1), fan()),
        nn.Sequential(conv(inputs, 448, 1), conv(448, 384, 3), fan()),
        pool_conv(inputs, 192),
    )


class InceptionV3(nn.Module):
    """Eleven modules of branches after a five-convolution stem, without the auxiliary classifier.

    23,834,568 parameters. Units: nothing but concatenations joins the convolutions, so each is
    one, 5 + 3 * 7 + 4 + 4 * 10 + 6 + 2 * 9.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 32, 3, stride=2),
            conv(32, 32, 3, padded=False),
            conv(32, 64, 3),
            nn.MaxPool2d(3, 2),
            conv(64, 80, 1),
            conv(80, 192, 3, padded=False),
            nn.MaxPool2d(3, 2),
        )
        self.mixed = nn.Sequential(
            inception_a(192, 32),
            inception_a(256, 64),
            inception_a(288, 64),
            reduction_a(288),
            *(inception_b(768, width) for width in (128, 160, 160, 192)),
            reduction_b(768),
            inception_c(1280),
            inception_c(2048),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2048, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.mixed(self.stem(image)))
        return self.fc(self.dropout(x.flatten(1)))


def inception_v3() -> InceptionV3:
    """Inception-v3 for 1000 classes."""
    return InceptionV3()
