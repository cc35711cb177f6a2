"""What is known of a small structure, and what the structures share.

The structures are those of MMRazor's tests of its tracers, and those on which MMRazor 1.0.0 (commit
90c7af1f) was found to fail; what it finds was recorded by running it.

A unit is written by the places that produce its channels, tied channel by channel:
``a[0:8]=b[8:16]``. The channels of ``a[0:16]/4`` own four neighbouring indices each, those of
``a[0:16]%4`` every fourth index; ``a[0:2]+a[6:8]`` are four channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CLASSES", "TOYS", "Between", "Toy", "normed", "pooled", "toy"]

CLASSES = 10


@dataclass(frozen=True)
class Toy:
    """One structure.

    Attributes:
        name: Its name.
        build: Makes the module.
        units: Its units.
        original: The units that MMRazor lists.
        wrong: Why MMRazor's pruned model is wrong, None where it is right.
        input_size: The sizes of one input.
    """

    name: str
    build: Callable[[], nn.Module]
    units: tuple[str, ...]
    original: tuple[str, ...]
    wrong: str | None
    input_size: tuple[int, ...]

    def example(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Random inputs."""
        generator = torch.Generator().manual_seed(0)
        return (torch.randn(batch, *self.input_size, generator=generator),)


TOYS: dict[str, Toy] = {}


def toy(
    *units: str,
    original: tuple[str, ...] | None = None,
    wrong: str | None = None,
    input_size: tuple[int, ...] = (3, 8, 8),
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a structure; `original` is the same as `units` unless given."""

    def register(module: type[nn.Module]) -> type[nn.Module]:
        found = units if original is None else original
        TOYS[module.__name__] = Toy(module.__name__, module, units, found, wrong, input_size)
        return module

    return register


def normed(
    inputs: int, outputs: int, kernel: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the size of the image, and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
    return conv, nn.BatchNorm2d(outputs)


def pooled(x: Tensor) -> Tensor:
    """(n, c) means over the image."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Between(nn.Module):
    """Something between two convolutions."""

    def __init__(self, outputs: int = 16) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(outputs, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def between(self, x: Tensor) -> Tensor:
        """What the second convolution reads of the first."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """One after the other."""
        return self.fc(pooled(self.b(self.between(self.a(x)))))
