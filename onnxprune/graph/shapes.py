"""The shape of every value, and the elements of the small integer tensors that describe shapes.

Nothing here fails: what cannot be told is unknown.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from onnxprune.graph import engine
from onnxprune.graph.declared import declared_shapes
from onnxprune.graph.dims import Dim
from onnxprune.graph.loops import SYM_DATA_KEY
from onnxprune.graph.nested import constant
from onnxprune.graph.opaque import opaque
from onnxprune.graph.symbols import Symbols

__all__ = ["all_values", "forget", "infer", "propagate"]

logger = logging.getLogger(__name__)

_MOST_ELEMENTS = 64

_Dims = Mapping[ir.Value, tuple[Dim, ...]]
_Numbers = Mapping[ir.Value, tuple[Dim | None, ...]]


def infer(model: ir.Model) -> tuple[_Dims, _Numbers]:
    """Infer shapes and shape-like numbers; the model itself is left without annotations.

    Declared shapes of graph inputs are trusted. Those of intermediate values are ignored and
    removed, unless an operator computes them that nothing is known of; these and those of graph
    outputs count where inference finds nothing.

    Args:
        model: A model whose nodes are in topological order. Data types found on the way stay on
            its values, shapes stay on graph inputs, outputs and initializers only.

    Returns:
        The dimensions of every value of known rank, and the known elements of integer tensors of
        at most one axis and 64 elements.
    """
    with declared_shapes(model) as declared:
        propagate(model)
        shapes = {value: value.shape for value in all_values(model) if value.shape is not None}
        for value, shape in zip(model.graph.outputs, declared, strict=True):
            if value not in shapes and shape is not None:
                shapes[value] = shape
        elements = {value: _elements(value) for value in all_values(model)}
    symbols = Symbols(size for shape in shapes.values() for size in shape if isinstance(size, int))
    dims = {value: tuple(_size(symbols, size) for size in shape) for value, shape in shapes.items()}
    numbers = {
        value: tuple(symbols.dim(item) for item in items)
        for value, items in elements.items()
        if items is not None
    }
    forget(model)
    return MappingProxyType(dims), MappingProxyType(numbers)


def propagate(model: ir.Model) -> None:
    """Write the shape of every value that can be told onto the value itself.

    Call it inside ``declared_shapes``.

    Args:
        model: A model whose nodes are in topological order; changed in place. Values whose
            elements are known carry them as ``const_value`` or in their metadata until
            :func:`forget`.
    """
    forget(model)
    engine.run(model)


def forget(model: ir.Model) -> None:
    """Remove what inference wrote on the values that nodes compute, data types excepted.

    Shapes that only the model's author can tell stay.
    """
    for value in all_values(model):
        value.metadata_props.pop(SYM_DATA_KEY, None)
        if value.producer() is None:
            continue
        if not value.is_graph_output() and not opaque(value.producer()):
            value.shape = None
        value.const_value = None


def all_values(model: ir.Model) -> Iterator[ir.Value]:
    """Every value of the main graph and of nested graphs: inputs, initializers, node outputs."""
    for graph in model.graphs():
        yield from graph.inputs
        for value in graph.initializers.values():
            if not value.is_graph_input():
                yield value
        for node in graph:
            yield from node.outputs


def _size(symbols: Symbols, size: int | ir.SymbolicDim) -> Dim:
    dim = symbols.dim(size)
    return dim if dim is not None and dim.size >= 0 else symbols.fresh()


def _elements(value: ir.Value) -> list[int | str | None] | None:
    tensor = constant(value)
    if tensor is not None:
        if len(tensor.shape) > 1 or tensor.size > _MOST_ELEMENTS or not tensor.dtype.is_integer():
            return None
        return [int(item) for item in np.asarray(tensor.numpy()).reshape(-1)]
    text = value.metadata_props.get(SYM_DATA_KEY)
    if text is None or value.dtype is None or not value.dtype.is_integer():
        return None
    if value.shape is None or len(value.shape) > 1:
        return None
    items = json.loads(text)
    return items if len(items) <= _MOST_ELEMENTS else None
