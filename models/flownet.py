"""Optical flow from coarse to fine, in the way of PWC-Net (https://arxiv.org/abs/1709.02371)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

REACH = 2  # places in each direction that two frames are compared over


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and a leaky ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(0.1))


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """What a map (n, c, h, w) says where the flow (n, 2, h, w), in places, points to."""
    height, width = x.shape[2:]
    y, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x_at = (column + flow[:, 0] + 0.5) * (2 / width) - 1
    y_at = (y + flow[:, 1] + 0.5) * (2 / height) - 1
    grid = torch.stack([x_at, y_at], 3)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def cost_volume(first: Tensor, second: Tensor) -> Tensor:
    """(n, 25, h, w) the mean product over channels of each place with those around it."""
    height, width = first.shape[2:]
    padded = nn.functional.pad(second, [REACH] * 4)
    steps = range(2 * REACH + 1)
    products = [
        (first * padded[:, :, dy : dy + height, dx : dx + width]).mean(1, keepdim=True)
        for dy in steps
        for dx in steps
    ]
    return torch.cat(products, 1)


class Level(nn.Module):
    """Warps the second frame by the flow so far, compares, and corrects the flow.

    Args:
        width: Channels of the frames' maps.
        hidden: Channels inside.
        coarsest: Whether there is no flow so far.
    """

    def __init__(self, width: int, hidden: int, coarsest: bool) -> None:
        super().__init__()
        inputs = (2 * REACH + 1) ** 2 + width + (0 if coarsest else 2)
        self.layers = nn.Sequential(
            conv(inputs, hidden),
            conv(hidden, hidden),
            nn.Conv2d(hidden, 2, 3, padding=1),
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, first: Tensor, second: Tensor, flow: Tensor | None) -> Tensor:
        """The flow (n, 2, h, w) from maps of both frames and the flow of half that size."""
        if flow is None:
            return self.layers(torch.cat([cost_volume(first, second), first], 1))
        flow = 2 * self.up(flow)
        volume = cost_volume(first, warp(second, flow))
        return flow + self.layers(torch.cat([volume, first, flow], 1))


class FlowNet(nn.Module):
    """One encoder for both frames, four levels.

    Args:
        widths: Channels of the encoder's levels, each of half the size of the one before.
        hidden: Channels inside what corrects the flow.
    """

    def __init__(self, widths: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        pairs = zip((3, *widths), widths, strict=False)
        self.encoder = nn.ModuleList(
            nn.Sequential(conv(inputs, outputs, 2), conv(outputs, outputs))
            for inputs, outputs in pairs
        )
        self.levels = nn.ModuleList(
            Level(width, hidden, coarsest=i == 0) for i, width in enumerate(reversed(widths))
        )

    def forward(self, frames: Tensor) -> Tensor:
        """The flow (n, 2, h / 2, w / 2) between two frames, concatenated to (n, 6, h, w)."""
        first, second = (self.encode(frame) for frame in frames.split(3, 1))
        flow = None
        for level, x, y in zip(self.levels, reversed(first), reversed(second), strict=True):
            flow = level(x, y, flow)
        assert flow is not None
        return flow

    def encode(self, x: Tensor) -> list[Tensor]:
        """The maps of a frame (n, 3, h, w), finest first."""
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        return maps


def flownet() -> FlowNet:
    """Four levels, for frames whose sides are multiples of 16."""
    return FlowNet((32, 64, 96, 128), 96)
