"""Hourglass (https://arxiv.org/abs/1603.06937): heat maps of the joints of a body."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbone import conv_bn_relu

LEVELS = 3  # how often the hourglass halves the size; the paper's 4 suit larger images


class Residual(nn.Module):
    """Norm and ReLU before each of a 1x1, a 3x3 and a 1x1 convolution, and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.branch = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, outputs, 1),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w)."""
        return self.branch(x) + self.shortcut(x)


class Hourglass(nn.Module):
    """Half the size, an hourglass inside, double the size; plus a way around."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.around = Residual(width, width)
        self.down = nn.Sequential(nn.MaxPool2d(2), Residual(width, width))
        self.inside = Hourglass(width, levels - 1) if levels > 1 else Residual(width, width)
        self.up = nn.Sequential(Residual(width, width), nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) from the same shape."""
        return self.around(x) + self.up(self.inside(self.down(x)))


class HourglassNet(nn.Module):
    """A stem down to a quarter of the size, one hourglass, the heat maps.

    Args:
        width: Channels of the hourglass.
        joints: The number of heat maps.
    """

    def __init__(self, width: int, joints: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn_relu(3, width // 4, 7, stride=2),
            Residual(width // 4, width // 2),
            nn.MaxPool2d(2),
            Residual(width // 2, width // 2),
            Residual(width // 2, width),
        )
        self.hourglass = Hourglass(width, LEVELS)
        self.head = nn.Sequential(
            Residual(width, width), conv_bn_relu(width, width), nn.Conv2d(width, joints, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Heat maps (n, joints, h / 4, w / 4) of the images (n, 3, h, w), sides multiples of 32."""
        return self.head(self.hourglass(self.stem(image)))


def hourglass() -> HourglassNet:
    """One stack of the paper's width, for the 16 joints of MPII."""
    return HourglassNet(256, joints=16)
