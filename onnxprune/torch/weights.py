"""An ONNX graph as a torch module: its initializers are parameters, to be trained and put back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.refit import marks
from onnxprune.rewrite import weights
from onnxprune.torch.double import widened
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.tensors import to_numpy, to_torch

__all__ = ["Model", "OnnxModule", "as_module", "with_weights"]

Model: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph

_HALF = (torch.float16, torch.bfloat16)
_HALF_CODES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class OnnxModule(nn.Module):
    """Runs an ONNX graph; its parameters are the learned initializers of the graph.

    What two nodes share is one parameter. Half precision is widened: parameters, inputs and outputs
    are float32 then, and gradients do not vanish. Nothing behaves otherwise in training mode: batch
    norms use the statistics of the graph, and nothing is dropped out.

    Args:
        graph: The graph; it is not changed.
        freeze: Patterns (``*``, ``?``) of initializers that are no parameters.

    Attributes:
        weights: Initializer, as in a saved file -> its parameter.
        frozen: The other floating point initializers, by the same names.

    Raises:
        OnnxPruneError: If a pattern matches nothing.
        UnsupportedOperator: If the graph holds constants of a type that torch does not have.
    """

    def __init__(self, graph: Graph, freeze: Sequence[str] = ()) -> None:
        super().__init__()
        saved = weights.as_saved(graph)
        trained = {saved[name] for name in weights.learned(graph)}
        for pattern in freeze:
            matched = {name for name in saved.values() if fnmatchcase(name, pattern)}
            if not matched:
                raise OnnxPruneError(f"{graph.source}: no initializer matches '{pattern}'.")
            trained -= matched
        self._interpreter = Interpreter(widened(graph.model, _HALF_CODES, ir.DataType.FLOAT))
        tensors = self._interpreter.parameters
        self.weights: dict[str, nn.Parameter] = {}
        self.frozen: dict[str, Tensor] = {}
        for name in tensors:
            tensor, own = tensors[name], saved.get(name)
            if own in trained:
                tensor = self.weights.setdefault(own, nn.Parameter(tensor))
            elif own is not None and tensor.is_floating_point():
                self.frozen[own] = tensor
            tensors[name] = tensor
        self.trained = nn.ParameterList(self.weights.values())

    def forward(self, feeds: Mapping[str, np.ndarray | Tensor]) -> dict[str, Tensor]:
        """Run the graph.

        Args:
            feeds: The inputs, by name.

        Returns:
            The outputs, by name; gradients flow from them to the parameters.

        Raises:
            UnsupportedOperator: The graph has an operator that cannot be run in torch.
            BadFeeds: An input is not fed, or a feed is no input.
        """
        tensors = {
            name: _wide(feed if isinstance(feed, Tensor) else to_torch(feed))
            for name, feed in feeds.items()
        }
        return {name: x.value for name, x in self._interpreter.run(tensors).items()}


def as_module(model: Model, freeze: Sequence[str] = ()) -> OnnxModule:
    """An ONNX model as a torch module whose parameters are its learned initializers.

    Args:
        model: The model in any form; it is not changed.
        freeze: Patterns (``*``, ``?``) of initializers that stay as they are.

    Raises:
        LoadError: If the model cannot be loaded.
        OnnxPruneError: If a pattern matches nothing.
        UnsupportedOperator: If the graph holds constants of a type that torch does not have.
    """
    return OnnxModule(load(model), freeze)


def with_weights(model: Model, module: OnnxModule, how: str = "finetune") -> Graph:
    """A copy of a model with the parameters of its module, as they are now.

    Names, types, shapes and metadata stay; a tensor that has changed is marked in its metadata
    (``pkg.onnxprune.refitted``), so that the structure can still be verified.

    Args:
        model: The model that the module was made of; it is not changed.
        module: The module.
        how: What was done to the weights, for the metadata.

    Raises:
        OnnxPruneError: If the module is another graph's, or a weight is not finite in the type that
            the graph has it in.
    """
    arrays = {name: to_numpy(weight) for name, weight in module.weights.items()}
    graph = load(model)
    return weights.with_weights(graph, arrays, marks(graph.model, how))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in _HALF else tensor
