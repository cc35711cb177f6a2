"""EfficientNet (https://arxiv.org/abs/1905.11946) and its ancestor MnasNet (see MNASNET)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.layers import Activation, SqueezeExcitation, conv_norm


@dataclass(frozen=True)
class Stage:
    """Equal blocks but for the first, which changes width and stride."""

    expansion: int
    kernel: int
    outputs: int
    depth: int
    stride: int
    excite: bool = True


B0 = (
    Stage(1, 3, 16, depth=1, stride=1),
    Stage(6, 3, 24, depth=2, stride=2),
    Stage(6, 5, 40, depth=2, stride=2),
    Stage(6, 3, 80, depth=3, stride=2),
    Stage(6, 5, 112, depth=3, stride=1),
    Stage(6, 5, 192, depth=4, stride=2),
    Stage(6, 3, 320, depth=1, stride=1),
)

# MnasNet-A1, https://arxiv.org/abs/1807.11626, figure 7
MNASNET = (
    Stage(1, 3, 16, depth=1, stride=1, excite=False),
    Stage(6, 3, 24, depth=2, stride=2, excite=False),
    Stage(3, 5, 40, depth=3, stride=2),
    Stage(6, 3, 80, depth=4, stride=2, excite=False),
    Stage(6, 3, 112, depth=2, stride=1),
    Stage(6, 5, 160, depth=3, stride=2),
    Stage(6, 3, 320, depth=1, stride=1, excite=False),
)


class MBConv(nn.Module):
    """Widen, filter depthwise, excite, narrow; the squeeze is a quarter of the block's input."""

    def __init__(self, inputs: int, stage: Stage, stride: int, activation: Activation) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == stage.outputs
        hidden = inputs * stage.expansion
        layers: list[nn.Module] = []
        if stage.expansion > 1:
            layers.append(conv_norm(inputs, hidden, activation=activation))
        layers.append(conv_norm(hidden, hidden, stage.kernel, stride, hidden, activation))
        if stage.excite:
            layers.append(SqueezeExcitation(hidden, inputs // 4, activation))
        layers.append(conv_norm(hidden, stage.outputs, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input where the shapes agree."""
        return x + self.block(x) if self.residual else self.block(x)


class EfficientNet(nn.Module):
    """Stages of MBConv blocks between two ordinary convolutions."""

    def __init__(
        self, stages: Sequence[Stage], activation: Activation, classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=activation)]
        width = 32
        for stage in stages:
            for index in range(stage.depth):
                stride = stage.stride if index == 0 else 1
                layers.append(MBConv(width, stage, stride, activation))
                width = stage.outputs
        layers.append(conv_norm(width, 1280, activation=activation))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.features(image))
        return self.classifier(x.flatten(1))


def efficientnet_b0() -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters.

    Units: stem, 7 streams, 15 hidden widths (the first block has none), 16 squeezes, the last
    convolution.
    """
    return EfficientNet(B0, nn.SiLU)


def mnasnet_a1() -> EfficientNet:
    """MnasNet-A1: 3,887,038 parameters.

    Units: stem, 7 streams, 15 hidden widths, 8 squeezes, the last convolution.
    """
    return EfficientNet(MNASNET, nn.ReLU)
