"""YOLOX (https://arxiv.org/abs/2107.08430): Focus stem, depthwise blocks, decoupled head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.yolov5 import C3, STRIDES, ConvBnSilu, grid


class Focus(nn.Module):
    """Every second pixel of every second row, the four choices concatenated, then a 3x3."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBnSilu(12, outputs, 3)

    def forward(self, image: Tensor) -> Tensor:
        """(n, outputs, h / 2, w / 2) of the images (n, 3, h, w)."""
        left, right = image[..., ::2], image[..., 1::2]
        corners = [left[..., ::2, :], left[..., 1::2, :], right[..., ::2, :], right[..., 1::2, :]]
        return self.conv(torch.cat(corners, 1))


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 convolution and a 1x1."""
    return nn.Sequential(
        ConvBnSilu(inputs, inputs, 3, stride, groups=inputs),
        ConvBnSilu(inputs, outputs),
    )


class Bottleneck(nn.Module):
    """A 1x1 and a separable convolution, with or without a shortcut."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvBnSilu(width, width)
        self.conv2 = separable(width, width)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input if there is a shortcut."""
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


def csp(inputs: int, outputs: int, depth: int = 1, shortcut: bool = False) -> C3:
    """A cross-stage partial block of separable bottlenecks."""
    return C3(inputs, outputs, depth, shortcut, Bottleneck)


class SPP(nn.Module):
    """Spatial pyramid pooling: three max pools of growing size beside each other."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvBnSilu(inputs, inputs // 2)
        self.conv2 = ConvBnSilu(2 * inputs, outputs)
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, padding=size // 2) for size in (5, 9, 13))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class Head(nn.Module):
    """At one scale: a stem, then one branch for the classes and one for box and objectness."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = ConvBnSilu(inputs, width)
        self.cls_conv = nn.Sequential(separable(width, width), separable(width, width))
        self.reg_conv = nn.Sequential(separable(width, width), separable(width, width))
        self.cls_pred = nn.Conv2d(width, classes, 1)
        self.reg_pred = nn.Conv2d(width, 4, 1)
        self.obj_pred = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, cells, 5 + classes) of a map (n, inputs, h, w)."""
        x = self.stem(x)
        categories, box = self.cls_conv(x), self.reg_conv(x)
        scores = torch.cat([self.obj_pred(box), self.cls_pred(categories)], 1).sigmoid()
        return torch.cat([self.reg_pred(box), scores], 1).flatten(2).transpose(1, 2)


class YOLOX(nn.Module):
    """Backbone, neck that goes up and down again, and a head at three scales.

    Args:
        width: Channels after the stem; the deepest maps have 16 times as many.
        classes: Kinds of objects.
    """

    def __init__(self, width: int, classes: int = 80) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.stem = Focus(c1)
        self.dark2 = nn.Sequential(separable(c1, c2, 2), csp(c2, c2, 1, shortcut=True))
        self.dark3 = nn.Sequential(separable(c2, c3, 2), csp(c3, c3, 3, shortcut=True))
        self.dark4 = nn.Sequential(separable(c3, c4, 2), csp(c4, c4, 3, shortcut=True))
        self.dark5 = nn.Sequential(separable(c4, c5, 2), SPP(c5, c5), csp(c5, c5))
        self.up = nn.Upsample(scale_factor=2)
        self.lateral = ConvBnSilu(c5, c4)
        self.p4 = csp(2 * c4, c4)
        self.reduce = ConvBnSilu(c4, c3)
        self.p3 = csp(2 * c3, c3)
        self.down3 = separable(c3, c3, 2)
        self.n3 = csp(2 * c3, c4)
        self.down4 = separable(c4, c4, 2)
        self.n4 = csp(2 * c4, c5)
        self.heads = nn.ModuleList(Head(inputs, c3, classes) for inputs in (c3, c4, c5))

    def forward(self, image: Tensor) -> Tensor:
        """Boxes (n, cells, 5 + classes): x, y, width, height, objectness, a score per class.

        The images are (n, 3, h, w), sides multiples of 32.
        """
        x3 = self.dark3(self.dark2(self.stem(image)))
        x4 = self.dark4(x3)
        top5 = self.lateral(self.dark5(x4))
        top4 = self.reduce(self.p4(torch.cat([self.up(top5), x4], 1)))
        p3 = self.p3(torch.cat([self.up(top4), x3], 1))
        p4 = self.n3(torch.cat([self.down3(p3), top4], 1))
        p5 = self.n4(torch.cat([self.down4(p4), top5], 1))
        return self.decode([p3, p4, p5])

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """(n, cells, 5 + classes), boxes in pixels, of the maps at strides 8, 16 and 32."""
        found = []
        for head, x, stride in zip(self.heads, maps, STRIDES, strict=True):
            y = head(x)
            xy = (y[..., :2] + grid(*x.shape[2:]).flatten(0, 1)) * stride
            found.append(torch.cat([xy, y[..., 2:4].exp() * stride, y[..., 4:]], 2))
        return torch.cat(found, 1)


def yolox_nano() -> YOLOX:
    """YOLOX-Nano: 912,159 parameters."""
    return YOLOX(16)
