"""CycleGAN's generator (https://arxiv.org/abs/1703.10593): reflection padding, instance norm."""

from __future__ import annotations

from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution (padded by reflection where it does not stride) and instance norm."""
    pad = kernel // 2
    first = [nn.ReflectionPad2d(pad)] if stride == 1 else []
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=0 if stride == 1 else pad)
    return [*first, conv, nn.InstanceNorm2d(outputs)]


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, no activation after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [*conv_norm(width, width, 3), nn.ReLU(), *conv_norm(width, width, 3)]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The input plus the branch."""
        return x + self.branch(x)


class Generator(nn.Module):
    """Twice down, residual blocks, twice up.

    Args:
        width: Channels at full size.
        depth: The number of residual blocks.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers = [*conv_norm(3, width, 7), nn.ReLU()]
        for inputs in (width, 2 * width):
            layers += [*conv_norm(inputs, 2 * inputs, 3, stride=2), nn.ReLU()]
        layers += [Block(4 * width) for _ in range(depth)]
        for outputs in (2 * width, width):
            layers += [
                nn.ConvTranspose2d(2 * outputs, outputs, 3, 2, padding=1, output_padding=1),
                nn.InstanceNorm2d(outputs),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Images (n, 3, h, w) in -1..1 of images of the same shape, sides multiples of 4."""
        return self.layers(image)


def cyclegan() -> Generator:
    """CycleGAN's generator for small images (six blocks), of half the width."""
    return Generator(32, 6)
