"""What the zoo says of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.randomise import randomise

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        name: Its key in `ZOO` and the stem of its file.
        build: Makes the module, with torch's initial values.
        input_size: Channels and spatial sizes of the smallest sensible input.
        units: How many units of its export may lose channels.
        opset: The opset to export to; None leaves it to the exporter.
        outputs: The names of its outputs.
        prunable: The least share of the parameters that some choice can remove.
        barred: Why a share below 0.99 is right, in a sentence for the table.
    """

    name: str
    build: Callable[[], nn.Module]
    input_size: tuple[int, ...]
    units: int
    opset: int | None = None
    outputs: tuple[str, ...] = ("logits",)
    prunable: float = 0.99
    barred: str = ""

    def randomised(self, seed: int = 0) -> nn.Module:
        """The module with random values everywhere, in eval mode; see `models.randomise`."""
        return randomise(self.build(), seed, self.example(batch=4))

    def example(self, batch: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs for `forward`, uniform in 0..1, the same ones for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return (torch.rand(batch, *self.input_size, generator=generator),)
