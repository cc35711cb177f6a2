"""U-Net (https://arxiv.org/abs/1505.04597) with group norm (https://arxiv.org/abs/1803.08494)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUPS = 8


class DoubleConv(nn.Sequential):
    """Twice: a 3x3 convolution, group norm, SiLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for width in (inputs, outputs):
            layers += [
                nn.Conv2d(width, outputs, 3, padding=1, bias=False),
                nn.GroupNorm(GROUPS, outputs),
                nn.SiLU(),
            ]
        super().__init__(*layers)


class Up(nn.Module):
    """Double the size, concatenate the map of that size from the way down, convolve."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.conv = DoubleConv(2 * width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(n, width, 2 h, 2 w) from (n, 2 width, h, w) and the skip (n, width, 2 h, 2 w)."""
        return self.conv(torch.cat([skip, self.up(x)], 1))


class UNet(nn.Module):
    """Three times down, three times up, a skip at each size.

    Args:
        width: Channels at full size; each smaller one has twice as many.
        classes: Classes of a pixel.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        pairs = zip([3, *widths], widths, strict=False)
        self.down = nn.ModuleList(DoubleConv(inputs, outputs) for inputs, outputs in pairs)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(Up(outputs) for outputs in reversed(widths[:-1]))
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes, h, w) of the images (n, 3, h, w), sides multiples of 8."""
        maps = [self.down[0](image)]
        for down in self.down[1:]:
            maps.append(down(self.pool(maps[-1])))
        x = maps.pop()
        for up in self.up:
            x = up(x, maps.pop())
        return self.classifier(x)


def unet() -> UNet:
    """U-Net of half the paper's width and one size less."""
    return UNet(32, classes=2)
