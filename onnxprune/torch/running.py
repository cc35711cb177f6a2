"""Running a torch module as its exported graph runs: in eval mode, outputs by their ONNX names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.torch.tensors import to_numpy
from onnxprune.torch.ties import OrderedTies

__all__ = ["answer", "evaluating", "feeds_of"]


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in eval mode, every part of it as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def answer(module: nn.Module, example: Sequence[Any], graph: Graph) -> dict[str, np.ndarray]:
    """What a module answers, by the names of its graph's outputs; ties in ONNX's order.

    Raises:
        OnnxPruneError: If it gives another number of tensors than the graph has outputs.
    """
    with evaluating(module), torch.no_grad(), OrderedTies():  # type: ignore[no-untyped-call]
        tensors = [leaf for leaf in tree_leaves(module(*example)) if isinstance(leaf, Tensor)]
    if len(tensors) != len(graph.outputs):
        raise OnnxPruneError(
            f"The module gives {len(tensors)} tensors and its graph {len(graph.outputs)}, so they "
            f"cannot be compared."
        )
    return {str(v.name): to_numpy(t) for v, t in zip(graph.outputs, tensors, strict=True)}


def feeds_of(example: Sequence[Any], graph: Graph) -> Mapping[str, np.ndarray]:
    """The example as inputs of the graph, by name.

    Raises:
        OnnxPruneError: If the graph takes another number of tensors.
    """
    tensors = [leaf for leaf in tree_leaves(list(example)) if isinstance(leaf, Tensor)]
    if len(tensors) != len(graph.inputs):
        raise OnnxPruneError(
            f"The example holds {len(tensors)} tensors and the graph takes {len(graph.inputs)}: "
            f"{', '.join(str(value.name) for value in graph.inputs)}."
        )
    return {str(v.name): to_numpy(t) for v, t in zip(graph.inputs, tensors, strict=True)}
