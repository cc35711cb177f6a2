"""Parameters, bytes and multiply-accumulates of a graph, whole or cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from onnxprune.axes.cut import Cut
from onnxprune.graph import Dim, Graph
from onnxprune.graph.dtypes import is_weight
from onnxprune.ops import macs_of

__all__ = ["Cost", "cost", "cost_of_cut"]

ShapeOf = Callable[[ir.Value], tuple[Dim, ...] | None]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs.

    Attributes:
        params: Elements of all weights. Integer tensors of 32 and 64 bits are indices and shapes,
            not weights.
        bytes: Bytes of all initializers.
        macs: Multiply-accumulates of one inference; a dynamic size counts as 1, so a model with a
            dynamic batch is counted for one sample.
    """

    params: int
    bytes: int
    macs: int


def cost(graph: Graph) -> Cost:
    """What a graph costs."""
    return _cost(graph, graph.shape)


def cost_of_cut(cut: Cut) -> Cost:
    """What a graph will cost after a cut, without carrying it out."""
    return _cost(cut.labels.graph, cut.shape)


def _cost(graph: Graph, shape_of: ShapeOf) -> Cost:
    def single(value: ir.Value) -> tuple[Dim, ...] | None:
        shape = shape_of(value)
        return None if shape is None else tuple(Dim(1) if d.dynamic else d for d in shape)

    params = size = 0
    for value in graph.initializers.values():
        if value.dtype is None or value.dtype == ir.DataType.STRING:
            continue
        count = math.prod(dim.size for dim in shape_of(value) or ())
        params += count if is_weight(value.dtype) else 0
        size += math.ceil(count * value.dtype.bitwidth / 8)
    return Cost(params, size, sum(macs_of(node, graph, single) for node in graph.nodes))
