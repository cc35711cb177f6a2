"""DeepLabV3+ (https://arxiv.org/abs/1802.02611): dilated stages, atrous pyramid, decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone import Backbone, conv_bn_relu

RATES = (3, 6, 9)  # a quarter of the paper's for output stride 8: so far does a small map reach
LOW = 48  # channels of the fine map in the decoder


class AtrousPyramid(nn.Module):
    """A 1x1, three dilated 3x3 and a pooled branch, concatenated and projected."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        dilated = [conv_bn_relu(inputs, width, 3, dilation=rate) for rate in RATES]
        self.branches = nn.ModuleList([conv_bn_relu(inputs, width), *dilated])
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(inputs, width))
        self.project = nn.Sequential(
            conv_bn_relu((2 + len(RATES)) * width, width),
            nn.Dropout(0.5),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) from (n, inputs, h, w)."""
        branches = [branch(x) for branch in self.branches]
        return self.project(torch.cat([*branches, resize(self.pooled(x), x)], 1))


class DeepLab(nn.Module):
    """A backbone of output stride 8, an atrous pyramid, a decoder that sees stride 4 again.

    Args:
        width: Channels of the backbone's first stage.
        pyramid: Channels of the atrous pyramid and the decoder.
        classes: Classes of a pixel.
    """

    def __init__(self, width: int, pyramid: int, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(width, dilations=(1, 1, 2, 4))
        self.aspp = AtrousPyramid(self.backbone.widths[-1], pyramid)
        self.low = conv_bn_relu(self.backbone.widths[0], LOW)
        self.decoder = nn.Sequential(
            conv_bn_relu(pyramid + LOW, pyramid, 3),
            conv_bn_relu(pyramid, pyramid, 3),
            nn.Conv2d(pyramid, classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes, h, w) of the images (n, 3, h, w), sides multiples of 8."""
        fine, *_, coarse = self.backbone(image)
        low = self.low(fine)
        x = torch.cat([resize(self.aspp(coarse), low), low], 1)
        return resize(self.decoder(x), image)


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the height and width of another map."""
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def deeplabv3plus() -> DeepLab:
    """DeepLabV3+ on a half-width ResNet-18 for the 21 classes of Pascal VOC."""
    return DeepLab(32, 128, classes=21)
