"""VGG with batch normalisation (https://arxiv.org/abs/1409.1556)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

Stage = Sequence[int]  # output channels of the convolutions before one max pool

VGG11: Sequence[Stage] = ([64], [128], [256, 256], [512, 512], [512, 512])
VGG16: Sequence[Stage] = ([64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3)


class VGG(nn.Module):
    """A chain of 3x3 convolutions in five stages, a Flatten and three linear layers."""

    def __init__(self, stages: Sequence[Stage], classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for stage in stages:
            for outputs in stage:
                layers += [
                    nn.Conv2d(width, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                ]
                width = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(width * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.avgpool(self.features(image))
        return self.classifier(x.flatten(1))


def vgg11_bn() -> VGG:
    """VGG-11 with batch normalisation: 132,868,840 parameters."""
    return VGG(VGG11)


def vgg16_bn() -> VGG:
    """VGG-16 with batch normalisation: 138,365,992 parameters."""
    return VGG(VGG16)
