"""EDSR (https://arxiv.org/abs/1707.02921): super-resolution by residual blocks, pixel shuffles."""

from __future__ import annotations

from torch import Tensor, nn

SCALE = 0.1  # of every branch, which keeps a chain without norms from growing


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Block(nn.Module):
    """Two convolutions and a shortcut, without any norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv3x3(width, width), nn.ReLU(), conv3x3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """The input plus the scaled branch."""
        return x + SCALE * self.branch(x)


class EDSR(nn.Module):
    """A chain of blocks with a shortcut around it, then two pixel shuffles that double the size.

    Args:
        width: Channels of the chain.
        depth: The number of blocks.
    """

    mean: Tensor

    def __init__(self, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", Tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1))
        self.head = conv3x3(3, width)
        self.body = nn.Sequential(*(Block(width) for _ in range(depth)), conv3x3(width, width))
        self.tail = nn.Sequential(
            conv3x3(width, 4 * width),
            nn.PixelShuffle(2),
            conv3x3(width, 4 * width),
            nn.PixelShuffle(2),
            conv3x3(width, 3),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Images (n, 3, 4 h, 4 w) of the images (n, 3, h, w) in 0..1."""
        x = self.head(image - self.mean)
        return self.tail(x + self.body(x)) + self.mean


def edsr_baseline() -> EDSR:
    """The baseline for a factor of 4: 1,517,571 parameters, the mean shifts not counted."""
    return EDSR()
