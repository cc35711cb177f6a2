"""YOLOv8 (https://github.com/ultralytics/ultralytics): C2f blocks, decoupled anchor-free head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.yolov5 import SPPF, STRIDES, ConvBnSilu, grid

BINS = 16  # of the distribution over each distance from a cell to a side of its box


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with or without a shortcut."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = ConvBnSilu(width, width, 3)
        self.cv2 = ConvBnSilu(width, width, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input if there is a shortcut."""
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Splits in two; one half goes through bottlenecks, and every stage of it is kept."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1 = ConvBnSilu(inputs, 2 * half)
        self.cv2 = ConvBnSilu((2 + depth) * half, outputs)
        self.m = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        parts = list(self.cv1(x).chunk(2, 1))
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Detect(nn.Module):
    """At each scale one branch for the box and one for the classes.

    Distances to the four sides are expectations over `BINS` bins (https://arxiv.org/abs/2006.04388).
    """

    bins: Tensor

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.classes = classes
        box = max(16, widths[0] // 4, 4 * BINS)
        category = max(widths[0], min(classes, 100))
        self.cv2 = nn.ModuleList(_branch(width, box, 4 * BINS) for width in widths)
        self.cv3 = nn.ModuleList(_branch(width, category, classes) for width in widths)
        self.register_buffer("bins", torch.arange(BINS).float().view(1, BINS, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(n, 4 + classes, cells) of the maps (n, c, h, w) at strides 8, 16 and 32."""
        found = [
            torch.cat([box(x), category(x)], 1).flatten(2)
            for x, box, category in zip(maps, self.cv2, self.cv3, strict=True)
        ]
        sides, scores = torch.cat(found, 2).split((4 * BINS, self.classes), 1)
        bins = sides.unflatten(1, (4, BINS)).transpose(1, 2).softmax(1)
        distance = nn.functional.conv2d(bins, self.bins).squeeze(1)
        before, after = distance.chunk(2, 1)
        cells, strides = _cells(maps)
        low, high = cells - before, cells + after
        boxes = torch.cat([(low + high) / 2, high - low], 1) * strides
        return torch.cat([boxes, scores.sigmoid()], 1)


def _branch(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBnSilu(inputs, width, 3),
        ConvBnSilu(width, width, 3),
        nn.Conv2d(width, outputs, 1),
    )


def _cells(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(2, cells) the centre of every cell of all scales, in cells, and (1, cells) its stride."""
    centres, strides = [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        height, width = x.shape[2:]
        centres.append(grid(height, width).flatten(0, 1).T + 0.5)
        strides.append(torch.full((1, height * width), float(stride)))
    return torch.cat(centres, 1), torch.cat(strides, 1)


class YOLOv8(nn.Module):
    """Backbone, neck that goes up and down again, and a head at three scales.

    Args:
        width: Channels after the first convolution; the deepest maps have 16 times as many.
        classes: Kinds of objects.
    """

    def __init__(self, width: int, classes: int = 80) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.stem = ConvBnSilu(3, c1, 3, 2)
        self.stage2 = nn.Sequential(ConvBnSilu(c1, c2, 3, 2), C2f(c2, c2, 1, shortcut=True))
        self.stage3 = nn.Sequential(ConvBnSilu(c2, c3, 3, 2), C2f(c3, c3, 2, shortcut=True))
        self.stage4 = nn.Sequential(ConvBnSilu(c3, c4, 3, 2), C2f(c4, c4, 2, shortcut=True))
        self.stage5 = nn.Sequential(
            ConvBnSilu(c4, c5, 3, 2), C2f(c5, c5, 1, shortcut=True), SPPF(c5, c5)
        )
        self.up = nn.Upsample(scale_factor=2)
        self.up4 = C2f(c5 + c4, c4, 1)
        self.up3 = C2f(c4 + c3, c3, 1)
        self.down3 = ConvBnSilu(c3, c3, 3, 2)
        self.down4 = C2f(c3 + c4, c4, 1)
        self.shrink4 = ConvBnSilu(c4, c4, 3, 2)
        self.down5 = C2f(c4 + c5, c5, 1)
        self.detect = Detect((c3, c4, c5), classes)

    def forward(self, image: Tensor) -> Tensor:
        """Boxes (n, 4 + classes, cells): x, y, width, height, a score per class.

        The images are (n, 3, h, w), sides multiples of 32.
        """
        x3 = self.stage3(self.stage2(self.stem(image)))
        x4 = self.stage4(x3)
        x5 = self.stage5(x4)
        top4 = self.up4(torch.cat([self.up(x5), x4], 1))
        p3 = self.up3(torch.cat([self.up(top4), x3], 1))
        p4 = self.down4(torch.cat([self.down3(p3), top4], 1))
        p5 = self.down5(torch.cat([self.shrink4(p4), x5], 1))
        return self.detect([p3, p4, p5])


def yolov8n() -> YOLOv8:
    """YOLOv8n: 3,157,184 parameters, the bins not counted."""
    return YOLOv8(16)
