"""ConvNeXt (https://arxiv.org/abs/2201.03545) and ConvNeXt V2 (https://arxiv.org/abs/2301.00808)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every place."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The normalised (n, c, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """Every channel times its norm over the image, relative to the mean of all channels' norms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, h, w, c), added to what was weighed."""
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        relative = norm / (norm.mean(-1, keepdim=True) + 1e-6)
        return x + self.weight * (x * relative) + self.bias


class LayerScale(nn.Module):
    """Every channel times a number of its own, which starts near zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """The input (..., c), scaled."""
        return self.gamma * x


class ConvNeXtBlock(nn.Module):
    """A 7x7 depthwise convolution and two linear layers over the channels.

    Version 1 scales what comes out, version 2 normalises between the linear layers.
    """

    def __init__(self, channels: int, version: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.layers = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            GlobalResponseNorm(4 * channels) if version == 2 else nn.Identity(),
            nn.Linear(4 * channels, channels),
            LayerScale(channels) if version == 1 else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input (n, c, h, w) plus the branch."""
        return x + self.layers(self.dwconv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """A 4x4 stem and four stages of blocks; layer norms between them.

    Units: a stream for every stage, a hidden width for every block.
    """

    def __init__(
        self, depths: Sequence[int], widths: Sequence[int], version: int = 1, classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0])]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if stage > 0:
                before = widths[stage - 1]
                layers += [ChannelNorm(before), nn.Conv2d(before, width, 2, stride=2)]
            layers += [ConvNeXtBlock(width, version) for _ in range(depth)]
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        return self.head(self.norm(self.features(image).mean((2, 3))))


def convnext_tiny() -> ConvNeXt:
    """ConvNeXt-T: 28,589,128 parameters."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768))


def convnext_atto() -> ConvNeXt:
    """ConvNeXt at the smallest size of the second paper: 3,695,520 parameters."""
    return ConvNeXt((2, 2, 6, 2), (40, 80, 160, 320))


def convnext_v2_atto() -> ConvNeXt:
    """ConvNeXt V2-Atto: 3,708,400 parameters."""
    return ConvNeXt((2, 2, 6, 2), (40, 80, 160, 320), version=2)
