"""Which initializers of a graph are learned weights, and a copy of the graph with other ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, Source, with_shapes
from onnxprune.graph.constants import merge_copies
from onnxprune.ops.stored import is_parameter

__all__ = ["as_saved", "learned", "with_weights"]

_LEARNED = {
    ir.DataType.FLOAT,
    ir.DataType.DOUBLE,
    ir.DataType.FLOAT16,
    ir.DataType.BFLOAT16,
}

_SETTINGS = {
    "BatchNormalization": (3, 4),  # running statistics
    "Clip": (1, 2),
    "OneHot": (2,),
    "Pad": (2,),
    "Pow": (1,),
    "Resize": (1, 2),
    "RotaryEmbedding": (1, 2, 3),  # tables of cosines and sines
    "STFT": (2,),
    "Upsample": (1,),
    "Where": (0, 1, 2),
}
"""Operator -> inputs that say how to compute, not with which weights."""

_SINGLE = {"Conv", "ConvTranspose", "Gemm", "PRelu"}
"""Operators that learn single numbers; elsewhere one is a factor, an exponent or an epsilon."""

_LARGEST = 1e4
"""Beyond it an element is no weight: it masks what must not be attended to."""


def learned(graph: Graph) -> tuple[str, ...]:
    """The initializers that training may change, in the order of the graph.

    Floating point tensors of weights, biases, scales and embeddings. Not: running statistics,
    scales of quantised tensors, masks, and single numbers such as an epsilon. A graph does not tell
    a table from a weight where operators add or multiply it, so that such tables are here as well.

    Args:
        graph: The graph.

    Returns:
        Their names; copies that are saved as one are all there.
    """
    return tuple(name for name, value in graph.initializers.items() if _is_learned(value))


def _is_learned(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.dtype not in _LEARNED or not value.uses() or is_parameter(value):
        return False
    uses = [(use.node.op_type, use.idx) for use in value.uses()]
    if any(slot in _SETTINGS.get(operator, ()) for operator, slot in uses):
        return False
    if tensor.size == 1 and not any(operator in _SINGLE for operator, _ in uses):
        return False
    return bool((np.abs(tensor.numpy()) <= _LARGEST).all())


def as_saved(graph: Graph) -> dict[str, str]:
    """Initializer -> the one that it is in a file.

    In a graph each use of a vector has a copy of its own; in a file equal copies are one.

    Args:
        graph: The graph.
    """
    merged = graph.model.clone()
    merge_copies(merged)
    names = {name: name for name in graph.initializers}
    twins = zip(graph.nodes, merged.graph.all_nodes(), strict=True)
    for value, twin in (pair for n, t in twins for pair in zip(n.inputs, t.inputs, strict=True)):
        if value is not None and twin is not None and value.name in names:
            names[str(value.name)] = str(twin.name)
    return names


def with_weights(
    graph: Graph, weights: Mapping[str, npt.NDArray[np.generic]], said: Mapping[str, str]
) -> Graph:
    """A copy of a graph with other elements in some of its initializers.

    Types, shapes and metadata stay. A tensor that differs afterwards says so in its metadata; one
    that does not is left as it is.

    Args:
        graph: The graph; it is not changed.
        weights: Initializer, as in a saved file -> its new elements, of the same shape; they are
            rounded to the type of the initializer.
        said: What the metadata of changed tensors say besides.

    Returns:
        The graph with the new weights.

    Raises:
        OnnxPruneError: If there is no such initializer, its shape is another, or an element is not
            finite in its type.
    """
    model = graph.model.clone()
    names = as_saved(graph)
    unknown = sorted({*weights} - {*names.values()})
    if unknown:
        raise OnnxPruneError(f"{graph.source}: it has no initializer '{unknown[0]}' to write to.")
    digest = hashlib.sha256(graph.source.sha256.encode())
    for name, saved in names.items():
        value = model.graph.initializers[name]
        if saved not in weights or value.const_value is None:
            continue
        changed = _changed(value.const_value, weights[saved], f"{graph.source}: '{saved}'")
        if changed is not None:
            changed.metadata_props.update(said)
            value.const_value = changed
            digest.update(f"{name} ".encode() + changed.tobytes())
    return with_shapes(model, Source(None, digest.hexdigest()))


def _changed(
    tensor: ir.TensorProtocol, new: npt.NDArray[np.generic], where: str
) -> ir.TensorProtocol | None:
    """A tensor with new elements, None if they are the old ones."""
    shape = tuple(tensor.shape.numpy())
    if tuple(new.shape) != shape:
        raise OnnxPruneError(f"{where} has the shape {shape}, and its new elements {new.shape}.")
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(new.astype(tensor.dtype.numpy())).reshape(shape)
    if not np.isfinite(rounded.astype(np.float64)).all():
        raise OnnxPruneError(f"{where}: its new elements are not all finite in {tensor.dtype}.")
    if rounded.tobytes() == tensor.tobytes():
        return None
    return ir.Tensor(
        rounded,
        dtype=tensor.dtype,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )
