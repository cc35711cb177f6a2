"""The demo model: a small residual network for the 28 x 28 grey images of Fashion-MNIST."""

from __future__ import annotations

from torch import Tensor, nn

MEAN, STD = 0.2860, 0.3530  # of the 60,000 training images, scaled to 0..1


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the branch plus the shortcut."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class FashionNet(nn.Module):
    """Stem, three stages of two blocks (14x14, 7x7, 4x4), average pool, ten logits.

    The input is float32 in 0..1, shaped (batch, 1, 28, 28); the network normalises it itself.
    259,210 parameters.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 64), classes: int = 10) -> None:
        super().__init__()
        width = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        stages = []
        for outputs in widths:
            stages.append(nn.Sequential(Block(width, outputs, stride=2), Block(outputs, outputs)))
            width = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 1, 28, 28) in 0..1."""
        x = self.stages(self.stem((image - MEAN) / STD))
        return self.head(self.pool(x).flatten(1))


def fashionnet() -> FashionNet:
    """FashionNet at its full width."""
    return FashionNet()
