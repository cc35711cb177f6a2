"""SSDlite (https://arxiv.org/abs/1801.04381) on MobileNetV2: separable heads at six scales."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.mobilenet import InvertedResidual, MobileNetV2, conv_bn_relu6

ANCHORS = 6  # boxes at each place of each scale
WIDTHS = (576, 1280, 512, 256, 256, 128)
EXPANDED = 14  # the block whose widened map, at stride 16, is the first scale


class Head(nn.Sequential):
    """A depthwise 3x3 convolution and a 1x1 that answers."""

    def __init__(self, inputs: int, values: int) -> None:
        super().__init__(
            conv_bn_relu6(inputs, inputs, 3, groups=inputs),
            nn.Conv2d(inputs, ANCHORS * values, 1),
        )
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        """(n, anchors, values) of a map (n, inputs, h, w)."""
        return super().forward(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, self.values))


class SSDLite(nn.Module):
    """MobileNetV2, four smaller maps after it, and heads on all six scales."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        features = MobileNetV2().features
        block = features[EXPANDED]
        assert isinstance(block, InvertedResidual)
        self.fine = nn.Sequential(*features[:EXPANDED], block.conv[0])
        self.coarse = nn.Sequential(*block.conv[1:], *features[EXPANDED + 1 :])
        self.extra = nn.ModuleList(
            nn.Sequential(
                conv_bn_relu6(inputs, outputs // 2, 1),
                conv_bn_relu6(outputs // 2, outputs // 2, 3, 2, groups=outputs // 2),
                conv_bn_relu6(outputs // 2, outputs, 1),
            )
            for inputs, outputs in pairwise(WIDTHS[1:])
        )
        self.category = nn.ModuleList(Head(width, classes) for width in WIDTHS)
        self.box = nn.ModuleList(Head(width, 4) for width in WIDTHS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (n, anchors, classes) and offsets (n, anchors, 4) of the images (n, 3, h, w)."""
        maps = [self.fine(image)]
        maps.append(self.coarse(maps[-1]))
        for extra in self.extra:
            maps.append(extra(maps[-1]))
        scores = [head(x) for head, x in zip(self.category, maps, strict=True)]
        boxes = [head(x) for head, x in zip(self.box, maps, strict=True)]
        return torch.cat(scores, 1).softmax(2), torch.cat(boxes, 1)


def ssdlite_mobilenet_v2() -> SSDLite:
    """SSDlite for the 20 classes of Pascal VOC and the background."""
    return SSDLite(classes=21)
