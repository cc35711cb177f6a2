"""Say of splits into sequences what onnxruntime does with them, and keep from them what cannot be.

``SplitToSequence`` may leave out the axis that it splits. By its definition it does so only where
no sizes are given; onnxruntime does so too where the given size is the scalar 1, which is how torch
writes an unbind; onnxscript, which reads elements of sequences straight from a Split, does so
always.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnx_ir as ir

from onnxprune.graph.nested import constant, integer

__all__ = ["hidden_splits", "settle_splits"]

_HIDDEN = "pkg.onnxprune.hidden"
_SIZES_AS_INPUT, _NUMBER_OF_PARTS = 13, 18


def settle_splits(model: ir.Model) -> None:
    """Write every split into a sequence so that its definition and onnxruntime agree.

    Args:
        model: The model, changed in place.
    """
    for node in _splits(model):
        if integer(node, "keepdims") != 0:
            continue
        sizes = node.inputs[1]
        tensor = None if sizes is None else constant(sizes)
        if _rank(sizes) == 1:
            del node.attributes["keepdims"]
        elif tensor is not None and tensor.size == 1 and int(tensor.numpy().item()) == 1:
            node.resize_inputs(1)


@contextlib.contextmanager
def hidden_splits(model: ir.Model) -> Iterator[None]:
    """Hide the splits into sequences that onnxscript would replace by one that is not the same.

    Args:
        model: The model, changed in place.
    """
    version = model.opset_imports.get("", 0)
    hidden = []
    for node in _splits(model):
        least = _SIZES_AS_INPUT if _rank(node.inputs[1]) == 1 else _NUMBER_OF_PARTS
        if version < least or integer(node, "keepdims") == 0:
            hidden.append(node)
    for node in hidden:
        node.domain = _HIDDEN
    try:
        yield
    finally:
        for node in hidden:
            node.domain = ""


def _splits(model: ir.Model) -> list[ir.Node]:
    """The splits into sequences whose sizes are given."""
    return [
        node
        for node in model.graph.all_nodes()
        if node.op_type == "SplitToSequence" and node.domain == "" and _has_sizes(node)
    ]


def _has_sizes(node: ir.Node) -> bool:
    return len(node.inputs) > 1 and node.inputs[1] is not None


def _rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else len(value.shape)
