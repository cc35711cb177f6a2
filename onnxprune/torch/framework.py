"""Torch modules as models: found through the package's entry point."""

from __future__ import annotations

from typing import Any

from torch import nn

from onnxprune.graph import Graph
from onnxprune.torch.following import follow, prepare
from onnxprune.torch.parity import parity
from onnxprune.torch.predefined import predefined
from onnxprune.torch.trace import example_of, trace
from onnxprune.units import Found, MutableChannelUnit, Units
from onnxprune.units.framework import FRAMEWORKS
from onnxprune.verification.parity import ParityReport

__all__ = ["TorchFramework"]


@FRAMEWORKS.register("torch")
class TorchFramework:
    """What the rest of the package asks of torch."""

    def owns(self, model: object) -> bool:
        """Whether this is a torch module."""
        return isinstance(model, nn.Module)

    def trace(self, model: nn.Module, example: Any) -> Graph:
        """The graph of a module."""
        return trace(model, example)

    def prepare(self, unit: MutableChannelUnit, model: nn.Module) -> None:
        """Let a module follow one unit."""
        prepare(unit, model)

    def follow(self, units: Units, model: nn.Module, example: Any) -> None:
        """Let a module follow all its units."""
        follow(units, model, example_of(example))

    def predefined(self, model: nn.Module) -> list[Found]:
        """The units that are registered with the module's dynamic operators."""
        return predefined(model)

    def parity(self, model: nn.Module, example: Any, choices: int, exporter: str) -> ParityReport:
        """Compare all answers of a module."""
        return parity(model, example, choices, exporter)  # type: ignore[arg-type]
