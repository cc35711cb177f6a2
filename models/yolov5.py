"""YOLOv5 (https://github.com/ultralytics/yolov5), version 6: CSP backbone, PANet neck, anchors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# width and height in pixels of the three anchors at strides 8, 16 and 32
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
STRIDES = (8, 16, 32)


class ConvBnSilu(nn.Sequential):
    """Convolution that keeps the size (but for its stride), batch norm, SiLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                *(inputs, outputs, kernel, stride, (kernel - 1) // 2), groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.SiLU(),
        )


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution, with or without a shortcut."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = ConvBnSilu(width, width)
        self.cv2 = ConvBnSilu(width, width, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input if there is a shortcut."""
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage partial block: half the width goes through bottlenecks, half past them."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        depth: int,
        shortcut: bool = True,
        bottleneck: Callable[[int, bool], nn.Module] = Bottleneck,
    ) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1 = ConvBnSilu(inputs, half)
        self.cv2 = ConvBnSilu(inputs, half)
        self.cv3 = ConvBnSilu(2 * half, outputs)
        self.m = nn.Sequential(*(bottleneck(half, shortcut) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling: three max pools in a row, all of them concatenated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cv1 = ConvBnSilu(inputs, inputs // 2)
        self.cv2 = ConvBnSilu(2 * inputs, outputs)
        self.pool = nn.MaxPool2d(5, 1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        pools = [self.cv1(x)]
        for _ in range(3):
            pools.append(self.pool(pools[-1]))
        return self.cv2(torch.cat(pools, 1))


class Detect(nn.Module):
    """One 1x1 convolution at each of three scales, decoded to boxes in pixels."""

    anchors: Tensor

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.values = 5 + classes
        self.m = nn.ModuleList(nn.Conv2d(width, 3 * self.values, 1) for width in widths)
        anchors = torch.tensor(ANCHORS, dtype=torch.float32)
        self.register_buffer("anchors", anchors.view(3, 1, 3, 1, 1, 2))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(n, boxes, 5 + classes) of the maps (n, c, h, w) at strides 8, 16 and 32."""
        boxes = []
        for conv, x, anchors, stride in zip(self.m, maps, self.anchors, STRIDES, strict=True):
            height, width = x.shape[2:]
            y = conv(x).view(-1, 3, self.values, height, width).permute(0, 1, 3, 4, 2).sigmoid()
            xy, wh, scores = y.split((2, 2, self.values - 4), 4)
            xy = (2 * xy - 0.5 + grid(height, width)) * stride
            wh = (2 * wh) ** 2 * anchors
            boxes.append(torch.cat([xy, wh, scores], 4).flatten(1, 3))
        return torch.cat(boxes, 1)


def grid(height: int, width: int) -> Tensor:
    """(height, width, 2) the x and y of every cell."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], 2).float()


class YOLOv5(nn.Module):
    """Backbone, neck that goes up and down again, and a head at three scales.

    Args:
        width: Channels after the first convolution; the deepest maps have 16 times as many.
        classes: Kinds of objects.
    """

    def __init__(self, width: int, classes: int = 80) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.stem = nn.Sequential(
            nn.Conv2d(3, c1, 6, 2, padding=2, bias=False),
            nn.BatchNorm2d(c1, eps=1e-3),
            nn.SiLU(),
        )
        self.stage2 = nn.Sequential(ConvBnSilu(c1, c2, 3, 2), C3(c2, c2, 1))
        self.stage3 = nn.Sequential(ConvBnSilu(c2, c3, 3, 2), C3(c3, c3, 2))
        self.stage4 = nn.Sequential(ConvBnSilu(c3, c4, 3, 2), C3(c4, c4, 3))
        self.stage5 = nn.Sequential(ConvBnSilu(c4, c5, 3, 2), C3(c5, c5, 1), SPPF(c5, c5))
        self.up = nn.Upsample(scale_factor=2)
        self.reduce5 = ConvBnSilu(c5, c4)
        self.up4 = C3(2 * c4, c4, 1, shortcut=False)
        self.reduce4 = ConvBnSilu(c4, c3)
        self.up3 = C3(2 * c3, c3, 1, shortcut=False)
        self.down3 = ConvBnSilu(c3, c3, 3, 2)
        self.down4 = C3(2 * c3, c4, 1, shortcut=False)
        self.shrink4 = ConvBnSilu(c4, c4, 3, 2)
        self.down5 = C3(2 * c4, c5, 1, shortcut=False)
        self.detect = Detect((c3, c4, c5), classes)

    def forward(self, image: Tensor) -> Tensor:
        """Boxes (n, boxes, 5 + classes): x, y, width, height, objectness, a score per class.

        The images are (n, 3, h, w), sides multiples of 32.
        """
        x3 = self.stage3(self.stage2(self.stem(image)))
        x4 = self.stage4(x3)
        top5 = self.reduce5(self.stage5(x4))
        top4 = self.reduce4(self.up4(torch.cat([self.up(top5), x4], 1)))
        p3 = self.up3(torch.cat([self.up(top4), x3], 1))
        p4 = self.down4(torch.cat([self.down3(p3), top4], 1))
        p5 = self.down5(torch.cat([self.shrink4(p4), top5], 1))
        return self.detect([p3, p4, p5])


def yolov5n() -> YOLOv5:
    """YOLOv5n: 1,872,157 parameters."""
    return YOLOv5(16)
