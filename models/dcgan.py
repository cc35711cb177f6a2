"""DCGAN's generator (https://arxiv.org/abs/1511.06434)."""

from __future__ import annotations

from torch import Tensor, nn


class Generator(nn.Module):
    """Five transposed convolutions from a vector to an image of 64 x 64.

    Args:
        latent: Values of the vector.
        width: Channels before the image; each layer before has twice as many.
    """

    def __init__(self, latent: int = 100, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = latent
        for level in (3, 2, 1, 0):
            outputs = width * 2**level
            stride, padding = (1, 0) if inputs == latent else (2, 1)
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False))

    def forward(self, latent: Tensor) -> Tensor:
        """Images (n, 3, 64, 64) in -1..1 of the vectors (n, latent, 1, 1)."""
        return self.layers(latent).tanh()


def dcgan() -> Generator:
    """DCGAN's generator: 3,576,704 parameters."""
    return Generator()
