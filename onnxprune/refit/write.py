"""Putting new weights into a model, marked as such."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.graph.names import Namer, value_names
from onnxprune.rewrite import prunings

__all__ = ["AFTER", "MARK", "marks", "overflow", "write"]

MARK = "pkg.onnxprune.refitted"
"""The metadata of a weight that is not the original's, sliced: how it came to be."""

AFTER = f"{MARK}.after"
"""After how many prunings that was: what is pruned again is a slice of what it was then."""


def marks(model: ir.Model, method: str) -> dict[str, str]:
    """What the metadata of a weight say that is new in a model."""
    return {MARK: method, AFTER: str(prunings(model))}


def overflow(array: npt.NDArray[np.floating], dtype: ir.DataType) -> str | None:
    """Why an array cannot be written as a type, which may hold less; None if it can."""
    with np.errstate(over="ignore"):
        fits = np.isfinite(array.astype(dtype.numpy())).all()
    return None if fits else f"what was found does not fit into {dtype.name}"


def write(
    model: ir.Model,
    places: Sequence[tuple[ir.Node, int]],
    array: npt.NDArray[np.floating],
    method: str,
) -> None:
    """Give nodes another weight; those that shared the old one with them keep it.

    Args:
        model: The model, changed in place.
        places: Nodes of its main graph, and the input of each; it may be missing so far.
        array: The weight; it gets the shape of the old one if it has as many elements.
        method: How it came to be.
    """
    node, slot = places[0]
    old = node.inputs[slot] if slot < len(node.inputs) else None
    weights = (value.dtype for value in node.inputs if value is not None)
    dtype = old.dtype if old is not None else next(d for d in weights if d is not None)
    assert dtype is not None
    shape = () if old is None or old.const_value is None else old.const_value.shape.numpy()
    if shape and math.prod(shape) == array.size:
        array = array.reshape(shape)
    kept = {} if old is None or old.const_value is None else old.const_value.metadata_props
    value = old
    if old is None or {(use.node, use.idx) for use in old.uses()} != set(places):
        name = Namer(value_names(model)).unique(f"{node.name}_refitted")
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(array.shape))
    assert value is not None
    tensor = ir.Tensor(np.ascontiguousarray(array.astype(dtype.numpy())), dtype=dtype)
    tensor.name = value.name
    tensor.metadata_props.update({**kept, **marks(model, method)})
    value.const_value = tensor
    if value is old:
        return
    model.graph.register_initializer(value)
    for node, slot in places:
        if slot >= len(node.inputs):
            node.resize_inputs(slot + 1)
        node.replace_input_with(slot, value)
