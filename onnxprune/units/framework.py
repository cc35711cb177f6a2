"""Models of other frameworks: how their graph is traced, and how their layers follow units."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import onnx
import onnx_ir as ir

from onnxprune.errors import LoadError, OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.registry import Registry

if TYPE_CHECKING:
    from onnxprune.units.found import Found
    from onnxprune.units.unit import MutableChannelUnit
    from onnxprune.units.units import Units

__all__ = ["FRAMEWORKS", "Framework", "framework_of", "graph_of", "needed"]


class Framework(Protocol):
    """What a framework's wing does for units."""

    def owns(self, model: object) -> bool:
        """Whether this is a model of the framework."""
        ...

    def trace(self, model: Any, example: Any) -> Graph:
        """The model's graph, its weights under their names in the model."""
        ...

    def prepare(self, unit: MutableChannelUnit, model: Any) -> None:
        """Let the model's layers follow the unit's choice from now on."""
        ...

    def follow(self, units: Units, model: Any, example: Any) -> None:
        """Let the model's layers follow all its units."""
        ...

    def predefined(self, model: Any) -> list[Found]:
        """The units whose mutable channels the model's layers follow already."""
        ...


FRAMEWORKS: Registry[Callable[[], Framework]] = Registry("framework")


def framework_of(model: object) -> Framework | None:
    """The framework that a model belongs to, None for ONNX models, files and graphs."""
    if isinstance(model, str | os.PathLike | onnx.ModelProto | ir.Model | Graph):
        return None
    for name in FRAMEWORKS:
        framework = FRAMEWORKS.get(name)()
        if framework.owns(model):
            return framework
    return None


def graph_of(model: Any, example: Any = None, untie: bool = False) -> Graph:
    """The graph of a model in any form: a path, an ONNX model, a graph, a torch module.

    Args:
        model: The model.
        example: The inputs that a module of a framework is traced with; None tries an image.
        untie: Give each use of a weight that serves several its own copy.

    Raises:
        LoadError: If the model cannot be loaded, or is of no known kind; or if the weights of a
            module are to be untied, which it shares by itself.
    """
    framework = framework_of(model)
    if framework is None:
        return load(model, untie=untie)
    if untie:
        raise LoadError("the weights of a module are tied by the module; untie its export instead")
    return framework.trace(model, example)


def needed(model: object) -> Framework:
    """The framework of a model that must belong to one.

    Raises:
        OnnxPruneError: If it does not.
    """
    found = framework_of(model)
    if found is None:
        raise OnnxPruneError(
            f"A {type(model).__name__} has no layers to prepare; give a torch module, or prune "
            f"the ONNX model itself: its units' choices are all that takes."
        )
    return found
