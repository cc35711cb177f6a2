"""Channels that are cut, moved or dealt out anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.toys.toy import CLASSES, Between, pooled, toy


@toy("a[0:16]%8", "b[0:12]", original=("b[0:12]",))
class GatedHalves(Between):
    """One half of the channels gates the other."""

    def __init__(self) -> None:
        super().__init__(8)

    def between(self, x: Tensor) -> Tensor:
        """GLU."""
        return F.glu(x, 1)


@toy("a[0:8]=e[0:8]", "a[8:16]", "b[0:12]", original=("b[0:12]",))
class Chunk(Between):
    """Half of the channels take one more layer, as in Res2Net."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Conv2d(8, 8, 3, padding=1)

    def between(self, x: Tensor) -> Tensor:
        """Cut, and join again in the other order."""
        first, second = x.chunk(2, 1)
        return torch.cat([second, first + self.e(first)], 1)


@toy("a[0:16]%4", "b[0:12]", original=("b[0:12]",))
class OverlappingSlices(Between):
    """Two slices of the channels that overlap are added."""

    def __init__(self) -> None:
        super().__init__(12)

    def between(self, x: Tensor) -> Tensor:
        """The first twelve and the last twelve."""
        return x[:, :12] + x[:, 4:]


@toy(
    *("a[0:16]/4", "a[0:16]%4", "b[0:12]"),
    original=("a[0:16]", "b[0:12]"),
    wrong="it does not see that the channels change places",
)
class ChannelShuffle(Between):
    """The channels as a 4x4 table are transposed, so whole rows and whole columns may go."""

    def between(self, x: Tensor) -> Tensor:
        """As ShuffleNet writes it."""
        n, c, h, w = x.shape
        return x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)


@toy("a[0:16]/4", "b[0:12]", original=("b[0:12]",))
class Shuffled(Between):
    """Four channels become one of twice the size."""

    def __init__(self) -> None:
        super().__init__(4)

    def between(self, x: Tensor) -> Tensor:
        """Depth to space."""
        return F.pixel_shuffle(x, 2)


@toy(
    *("a[0:4]", "b[0:12]"),
    wrong="its backward tracer takes the four copies of a channel for neighbours",
)
class Focus(nn.Module):
    """Four strided slices of an image side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Space to depth, as YOLOv5 writes it."""
        x = self.a(x)
        corners = [x[..., i::2, j::2] for j in range(2) for i in range(2)]
        return self.fc(pooled(self.b(torch.cat(corners, 1))))
