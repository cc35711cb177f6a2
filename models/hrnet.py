"""HRNet for classification (https://arxiv.org/abs/1908.07919)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import conv_norm
from models.resnet import BasicBlock, Bottleneck

WIDTHS = (16, 32, 64, 128)  # W18-small; each next resolution is half of the one before


def biased(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution with a bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Resize(nn.Module):
    """From the width and resolution of branch `source` to those of branch `target`."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if source > target:
            layers.append(conv_norm(WIDTHS[source], WIDTHS[target], activation=None))
            layers.append(nn.Upsample(scale_factor=2 ** (source - target)))
        for index in range(source, target):
            last = index == target - 1
            outputs = WIDTHS[target] if last else WIDTHS[source]
            activation = None if last else nn.ReLU
            layers.append(conv_norm(WIDTHS[source], outputs, 3, 2, activation=activation))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The resized branch; itself where source and target agree."""
        return self.layers(x)


class Fuse(nn.Module):
    """One branch as the sum of all."""

    def __init__(self, branches: int, target: int) -> None:
        super().__init__()
        self.resizes = nn.ModuleList(Resize(source, target) for source in range(branches))
        self.relu = nn.ReLU()

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """All branches at the shape of the target."""
        total, *others = (resize(each) for resize, each in zip(self.resizes, x, strict=True))
        for other in others:
            total = total + other
        return self.relu(total)


class ExchangeModule(nn.Module):
    """Two basic blocks in every branch; then every branch becomes the sum of all."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
            for width in WIDTHS[:branches]
        )
        self.fuses = nn.ModuleList(Fuse(branches, target) for target in range(branches))

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        """As many tensors as came in, of the same shapes."""
        x = [branch(each) for branch, each in zip(self.branches, x, strict=True)]
        return [fuse(x) for fuse in self.fuses]


class HRNet(nn.Module):
    """Parallel resolutions, one more in each stage, that exchange what they know.

    W18-small: 13,187,464 parameters. Units: the stem's two convolutions; three of the first
    bottleneck; 4 streams, one for each resolution; 2 in each of the 2 + 3 + 4 branches' blocks;
    5 steps of the strided chains (1 in stage three, 4 in stage four); in the head two in each
    of 4 bottlenecks, 4 streams and the last convolution.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 64, 3, 2), conv_norm(64, 64, 3, 2))
        self.layer1 = Bottleneck(64, 32, 1)
        inputs = self.layer1.outputs
        self.first = conv_norm(inputs, WIDTHS[0], 3)
        self.halve = nn.ModuleList(
            conv_norm(source, target, 3, 2)
            for source, target in zip((inputs, *WIDTHS[1:]), WIDTHS[1:], strict=False)
        )
        self.stages = nn.ModuleList(ExchangeModule(branches) for branches in (2, 3, 4))
        self.widen = nn.ModuleList(Bottleneck(width, 2 * width, 1) for width in WIDTHS)
        self.descend = nn.ModuleList(biased(8 * width, 16 * width, 3, 2) for width in WIDTHS[:-1])
        self.final = biased(8 * WIDTHS[-1], 2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(2048, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, h, w)."""
        x = self.layer1(self.stem(image))
        branches = [self.first(x)]
        last = x
        for halve, stage in zip(self.halve, self.stages, strict=True):
            branches = stage([*branches, halve(last)])
            last = branches[-1]
        widened = [widen(each) for widen, each in zip(self.widen, branches, strict=True)]
        x = widened[0]
        for descend, each in zip(self.descend, widened[1:], strict=True):
            x = each + descend(x)
        return self.classifier(self.avgpool(self.final(x)).flatten(1))


def hrnet_w18_small() -> HRNet:
    """HRNet-W18-small, version 1, with its classification head."""
    return HRNet()
