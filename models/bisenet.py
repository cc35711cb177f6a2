"""BiSeNet (https://arxiv.org/abs/1808.00897): a fine path, a deep path, attention over channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone import Backbone, conv_bn_relu


class AttentionRefinement(nn.Module):
    """A 3x3 convolution whose channels are weighed by their means over the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv_bn_relu(inputs, outputs, 3)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        x = self.conv(x)
        return x * self.attention(x)


class FeatureFusion(nn.Module):
    """Concatenates both paths; attention says how much more of each channel to add."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv_bn_relu(inputs, outputs)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 4, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(outputs // 4, outputs, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """(n, outputs, h, w) from two maps of equal size."""
        x = self.conv(torch.cat([fine, deep], 1))
        return x + x * self.attention(x)


class DeepPath(nn.Module):
    """A backbone whose maps at strides 16 and 32, and their global mean, meet at stride 8."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        *_, inputs16, inputs32 = self.backbone.widths
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(inputs32, outputs))
        self.arm32 = AttentionRefinement(inputs32, outputs)
        self.arm16 = AttentionRefinement(inputs16, outputs)
        self.head32 = conv_bn_relu(outputs, outputs, 3)
        self.head16 = conv_bn_relu(outputs, outputs, 3)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, image: Tensor) -> Tensor:
        """(n, outputs, h / 8, w / 8) of the images (n, 3, h, w)."""
        *_, x16, x32 = self.backbone(image)
        mean = nn.functional.interpolate(self.mean(x32), x32.shape[2:])
        x = self.head32(self.up(self.arm32(x32) + mean))
        return self.head16(self.up(self.arm16(x16) + x))


class BiSeNet(nn.Module):
    """Two paths, their fusion, one convolution and a bilinear resize.

    Args:
        width: Channels of the first stage of the deep path and of the fine path.
        outputs: Channels of either path.
        classes: Classes of a pixel.
    """

    def __init__(self, width: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            conv_bn_relu(3, width, 7, stride=2),
            conv_bn_relu(width, width, 3, stride=2),
            conv_bn_relu(width, width, 3, stride=2),
            conv_bn_relu(width, outputs),
        )
        self.deep = DeepPath(width, outputs)
        self.fusion = FeatureFusion(2 * outputs, 2 * outputs)
        self.head = nn.Sequential(
            conv_bn_relu(2 * outputs, 2 * outputs, 3),
            nn.Conv2d(2 * outputs, classes, 1, bias=False),
            nn.Upsample(scale_factor=8, mode="bilinear"),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes, h, w) of the images (n, 3, h, w), sides multiples of 32."""
        return self.head(self.fusion(self.fine(image), self.deep(image)))


def bisenet() -> BiSeNet:
    """BiSeNet on a half-width ResNet-18 for the 19 classes of Cityscapes."""
    return BiSeNet(32, 64, classes=19)
