"""RetinaNet (https://arxiv.org/abs/1708.02002): a feature pyramid, heads shared by its levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone import Backbone

ANCHORS = 9  # boxes at each place of each level


class Pyramid(nn.Module):
    """Feature pyramid (https://arxiv.org/abs/1612.03144) with two more levels on top."""

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in widths)
        self.p6 = nn.Conv2d(widths[-1], width, 3, 2, padding=1)
        self.p7 = nn.Conv2d(width, width, 3, 2, padding=1)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Five maps (n, width, h, w), finest first, of the backbone's last three."""
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i in (1, 0):
            merged[i] = merged[i] + self.up(merged[i + 1])
        levels = [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]
        p6 = self.p6(maps[-1])
        return [*levels, p6, self.p7(p6.relu())]


class Head(nn.Sequential):
    """Four 3x3 convolutions and one that answers, the same at every level."""

    def __init__(self, width: int, values: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(width, ANCHORS * values, 3, padding=1))
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        """(n, anchors, values) of a map (n, width, h, w)."""
        y = super().forward(x).unflatten(1, (ANCHORS, self.values))
        return y.permute(0, 3, 4, 1, 2).flatten(1, 3)


class RetinaNet(nn.Module):
    """Scores and box offsets for nine anchors at every place of five levels."""

    def __init__(self, width: int, pyramid: int, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.pyramid = Pyramid(self.backbone.widths[1:], pyramid)
        self.category = Head(pyramid, classes)
        self.box = Head(pyramid, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (n, anchors, classes) and offsets (n, anchors, 4) of the images (n, 3, h, w).

        The sides of the images are multiples of 32.
        """
        levels = self.pyramid(self.backbone(image)[1:])
        scores = torch.cat([self.category(x) for x in levels], 1).sigmoid()
        return scores, torch.cat([self.box(x) for x in levels], 1)


def retinanet() -> RetinaNet:
    """RetinaNet on a half-width ResNet-18 for the 20 classes of Pascal VOC."""
    return RetinaNet(32, 128, classes=20)
