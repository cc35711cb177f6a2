"""CenterNet (https://arxiv.org/abs/1904.07850): objects as points, found by a max pool and TopK."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbone import Backbone

STRIDE = 4  # pixels between places of the answer


class CenterNet(nn.Module):
    """A backbone, three transposed convolutions up again, and a head for each kind of map.

    Args:
        width: Channels of the backbone's first stage.
        neck: Channels after each transposed convolution and inside the heads.
        classes: Kinds of objects.
        objects: How many of the highest peaks become boxes.
    """

    def __init__(self, width: int, neck: int, classes: int, objects: int) -> None:
        super().__init__()
        self.classes, self.objects = classes, objects
        self.backbone = Backbone(width)
        layers: list[nn.Module] = []
        for inputs in (self.backbone.widths[-1], neck, neck):
            layers += [
                nn.ConvTranspose2d(inputs, neck, 4, 2, padding=1, bias=False),
                nn.BatchNorm2d(neck),
                nn.ReLU(),
            ]
        self.neck = nn.Sequential(*layers)
        self.heat, self.size, self.offset = (_head(neck, values) for values in (classes, 2, 2))
        self.peak = nn.MaxPool2d(3, 1, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (n, objects), sorted, and boxes (n, objects, 4) of the images (n, 3, h, w).

        A box is x, y, width, height in pixels; a score is a logit. Sides are multiples of 32.
        """
        x = self.neck(self.backbone(image)[-1])
        heat = self.heat(x)
        width, places = heat.shape[3], heat.shape[2] * heat.shape[3]
        peaks = torch.where(heat == self.peak(heat), heat, torch.full_like(heat, -1e4))
        scores, indices = peaks.flatten(1).topk(self.objects)
        place = indices % places
        centre = torch.stack([place % width, place // width], 2) + _pick(self.offset(x), place)
        return scores, torch.cat([centre, _pick(self.size(x), place)], 2) * STRIDE


def _head(inputs: int, values: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1), nn.ReLU(), nn.Conv2d(inputs, values, 1)
    )


def _pick(x: Tensor, place: Tensor) -> Tensor:
    """(n, objects, c) what a map (n, c, h, w) says at the places (n, objects)."""
    x = x.flatten(2).transpose(1, 2)
    return x.gather(1, place.unsqueeze(2).expand(-1, -1, x.shape[2]))


def centernet() -> CenterNet:
    """CenterNet on a half-width ResNet-18 for the 20 classes of Pascal VOC, ten objects."""
    return CenterNet(32, 64, classes=20, objects=10)
