"""MobileNetV3 (https://arxiv.org/abs/1905.02244)."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers import Activation, SqueezeExcitation, conv_norm, divisible

# kernel, hidden channels, output channels, squeeze and excitation, activation, stride
SMALL: tuple[tuple[int, int, int, bool, Activation, int], ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)


class Bneck(nn.Module):
    """An inverted residual with a squeeze and excitation between its last two convolutions."""

    def __init__(
        self,
        inputs: int,
        kernel: int,
        hidden: int,
        outputs: int,
        excite: bool,
        activation: Activation,
        stride: int,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(conv_norm(inputs, hidden, activation=activation))
        layers.append(conv_norm(hidden, hidden, kernel, stride, hidden, activation))
        if excite:
            squeezed = divisible(hidden / 4)
            layers.append(SqueezeExcitation(hidden, squeezed, gate=nn.Hardsigmoid))
        layers.append(conv_norm(hidden, outputs, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, plus the input where the shapes agree."""
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3(nn.Module):
    """Eleven blocks, a last 1x1 convolution and two linear layers.

    Small: 2,542,856 parameters. Units: stem, 5 streams (16, 24, 40, 48, 96), 10 hidden widths
    (the first block filters the stem itself), 9 squeezes, last convolution, first linear layer.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish)]
        width = 16
        for kernel, hidden, outputs, excite, activation, stride in SMALL:
            layers.append(Bneck(width, kernel, hidden, outputs, excite, activation, stride))
            width = outputs
        layers.append(conv_norm(width, 6 * width, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * width, 1024),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(1024, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.features(image))
        return self.classifier(x.flatten(1))


def mobilenet_v3_small() -> MobileNetV3:
    """MobileNetV3-Small at width 1.0."""
    return MobileNetV3()
