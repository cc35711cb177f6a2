"""Read what is picked from a join where it came from.

A classifier takes the last state of the last of several recurrent layers, and exporters join the
states of all layers first. Seen as one tensor, the join would tie the layers to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxprune.graph.names import Namer, value_names
from onnxprune.graph.nested import constant, integer

__all__ = ["pick_from_parts"]


def pick_from_parts(model: ir.Model) -> None:
    """Let a Gather from a Concat read the part that has all it picks, where that can be told.

    Args:
        model: A model whose values have shapes; changed in place.
    """
    namer: Namer | None = None
    for node in model.graph.all_nodes():
        found = _part(node)
        if found is None:
            continue
        part, indices = found
        namer = namer or Namer(value_names(model))
        name = namer.unique(str(node.inputs[1].name) if node.inputs[1] is not None else "indices")
        moved = ir.Value(
            name=name,
            shape=ir.Shape(indices.shape),
            type=ir.TensorType(ir.DataType.INT64),
            const_value=ir.tensor(indices, name=name),
        )
        model.graph.register_initializer(moved)
        node.replace_input_with(0, part)
        node.replace_input_with(1, moved)


def _part(node: ir.Node) -> tuple[ir.Value, np.ndarray] | None:
    """The part of a Concat that a Gather picks from, and where in it."""
    if node.op_type != "Gather" or node.domain != "" or len(node.inputs) != 2:
        return None
    joined, picked = node.inputs
    join = joined.producer() if joined is not None else None
    tensor = constant(picked) if picked is not None else None
    if join is None or join.op_type != "Concat" or join.domain != "" or tensor is None:
        return None
    rank = len(joined.shape) if joined is not None and joined.shape is not None else 0
    axes = (integer(node, "axis") or 0, integer(join, "axis"))
    if not rank or axes[1] is None or axes[0] % rank != axes[1] % rank or not 0 < tensor.size < 64:
        return None
    sizes = _sizes(join.inputs, axes[0] % rank)
    if sizes is None:
        return None
    ends = np.cumsum(sizes)
    indices = tensor.numpy().astype(np.int64)
    if indices.min() < -ends[-1] or indices.max() >= ends[-1]:
        return None
    indices = indices % ends[-1]
    places = np.unique(np.searchsorted(ends, indices, side="right"))
    if len(places) != 1:
        return None
    part = join.inputs[int(places[0])]
    assert part is not None
    return part, np.asarray(indices - (ends[places[0]] - sizes[places[0]]))


def _sizes(parts: Sequence[ir.Value | None], axis: int) -> list[int] | None:
    """The size of every part along an axis, None if one is not known."""
    sizes = []
    for part in parts:
        size = part.shape[axis] if part is not None and part.shape is not None else None
        if not isinstance(size, int):
            return None
        sizes.append(size)
    return sizes
