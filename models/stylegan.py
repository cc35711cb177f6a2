"""StyleGAN2's generator (https://arxiv.org/abs/1912.04958): convolutions modulated by a style."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

CONSTANT = 4  # height and width of what the first layer starts from


class Mapping(nn.Module):
    """From a latent vector, brought to unit length, to a style."""

    def __init__(self, latent: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(latent, latent), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """(n, latent) from (n, latent)."""
        return self.layers(latent * (latent.square().mean(1, keepdim=True) + 1e-8).rsqrt())


class ModulatedConv(nn.Module):
    """A convolution whose input channels the style scales, and whose outputs are scaled back.

    Scaling back divides by the norm that the scaled weights would have.
    """

    def __init__(
        self, inputs: int, outputs: int, latent: int, kernel: int = 3, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = nn.Linear(latent, inputs)
        self.padding, self.demodulate = kernel // 2, demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, outputs, h, w) from (n, inputs, h, w) and (n, latent)."""
        scale = self.style(style) + 1
        y = nn.functional.conv2d(x * scale[:, :, None, None], self.weight, padding=self.padding)
        if self.demodulate:
            energy = self.weight.square().sum((2, 3))
            norm = (scale.square() @ energy.T + 1e-8).rsqrt()
            y = y * norm[:, :, None, None]
        return y + self.bias[:, None, None]


class Block(nn.Module):
    """Double the size, two modulated convolutions, and what they add to the image."""

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.conv1 = ModulatedConv(inputs, outputs, latent)
        self.conv2 = ModulatedConv(outputs, outputs, latent)
        self.rgb = ModulatedConv(outputs, 3, latent, kernel=1, demodulate=False)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor, image: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, outputs, 2 h, 2 w) and the image of that size so far."""
        x = self.activation(self.conv1(self.up(x), style))
        x = self.activation(self.conv2(x, style))
        return x, self.up(image) + self.rgb(x, style)


class Generator(nn.Module):
    """A learned constant, a modulated convolution, blocks that double the size; without noise.

    Args:
        latent: Values of a latent vector and of a style.
        widths: Channels at each size, from 4 x 4 upwards.
    """

    def __init__(self, latent: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.mapping = Mapping(latent, depth=8)
        self.constant = nn.Parameter(torch.randn(1, widths[0], CONSTANT, CONSTANT))
        self.conv = ModulatedConv(widths[0], widths[0], latent)
        self.rgb = ModulatedConv(widths[0], 3, latent, kernel=1, demodulate=False)
        self.activation = nn.LeakyReLU(0.2)
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, latent) for inputs, outputs in pairwise(widths)
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Images (n, 3, h, w) of the latent vectors (n, latent)."""
        style = self.mapping(latent)
        x = self.activation(self.conv(self.constant, style))
        image = self.rgb(x, style)
        for block in self.blocks:
            x, image = block(x, image, style)
        return image


def stylegan2() -> Generator:
    """A generator of 32 x 32 images."""
    return Generator(256, (128, 128, 64, 32))
