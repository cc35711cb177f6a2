"""The model zoo: well-known architectures in plain `torch.nn`, at their real size.

Example::

    from models import ZOO, export, randomise

    entry = ZOO["resnet18"]
    model = randomise(entry.build(), seed=0)
    export(model, entry.example(), "resnet18.onnx")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.alexnet import alexnet
from models.densenet import densenet121
from models.export import export
from models.fashion import fashionnet
from models.googlenet import googlenet
from models.mobilenet import mobilenet_v2
from models.randomise import randomise
from models.resnet import resnet18, resnet50, resnext50_32x4d
from models.vgg import vgg11_bn, vgg16_bn

__all__ = ["ZOO", "Entry", "export", "randomise"]


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        name: Its key in `ZOO` and the stem of its file.
        build: Makes the module, with torch's initial values.
        input_size: Channels, height and width of the smallest sensible input.
        units: How many units of its export may lose channels.
        opset: The opset to export to; None leaves it to the exporter.
    """

    name: str
    build: Callable[[], nn.Module]
    input_size: tuple[int, ...]
    units: int
    opset: int | None = None

    def example(self, batch: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Normal random inputs for `forward`, the same ones for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(batch, *self.input_size, generator=generator),)


# 64 is the smallest input at which all taps of the last 3x3 convolutions see a pixel (their maps
# are 2x2). AlexNet and VGG pool adaptively to 6x6 and 7x7, which the legacy exporter only accepts
# where the pool divides evenly: nothing below 224.
SMALL, FULL = (3, 64, 64), (3, 224, 224)

ENTRIES = (
    Entry("alexnet", alexnet, FULL, units=7),
    Entry("vgg11_bn", vgg11_bn, FULL, units=10),
    Entry("vgg16_bn", vgg16_bn, FULL, units=15),
    Entry("resnet18", resnet18, SMALL, units=12),
    Entry("resnet50", resnet50, SMALL, units=37),
    Entry("resnext50_32x4d", resnext50_32x4d, SMALL, units=53),
    Entry("mobilenet_v2", mobilenet_v2, SMALL, units=25),
    Entry("densenet121", densenet121, SMALL, units=120),
    Entry("googlenet", googlenet, SMALL, units=57),
    Entry("fashionnet", fashionnet, (1, 28, 28), units=10),
)

ZOO: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
