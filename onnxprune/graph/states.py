"""Leave out initial states that are zero, which they are anyway where none is given.

Exporters make one tensor of zeros and start every layer with a part of it. Seen as one tensor, it
would tie layers to each other that have nothing in common.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

__all__ = ["drop_zero_states"]

_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}
_MOVING = frozenset({"Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
_LARGEST = 1 << 20
"""Elements of a constant that is looked through; a larger one is no state that starts at zero."""


def drop_zero_states(model: ir.Model) -> None:
    """Make recurrent layers start without a state where theirs is zero.

    Args:
        model: A model in the short form of the standard domain; changed in place.
    """
    for node in model.graph.all_nodes():
        slots = _STATES.get(node.op_type, ()) if node.domain == "" else ()
        for i in slots:
            if i < len(node.inputs) and _is_zero(node.inputs[i]):
                node.replace_input_with(i, None)


def _is_zero(value: ir.Value | None) -> bool:
    """Whether all elements of a tensor are known to be zero; what only moves them is passed."""
    while value is not None and value.const_value is None:
        node = value.producer()
        if node is None or node.domain != "":
            return False
        if node.op_type == "ConstantOfShape":
            return _fills_with_zero(node)
        if node.op_type not in _MOVING or not node.inputs:
            return False
        value = node.inputs[0]
    tensor = None if value is None or value.is_graph_input() else value.const_value
    return tensor is not None and _holds_zeros(tensor)


def _fills_with_zero(node: ir.Node) -> bool:
    attribute = node.attributes.get("value")
    if attribute is None:
        return True
    return (
        not attribute.is_ref()
        and attribute.type == ir.AttributeType.TENSOR
        and _holds_zeros(attribute.as_tensor())
    )


def _holds_zeros(tensor: ir.TensorProtocol) -> bool:
    numbers = tensor.dtype.is_floating_point() and 0 < tensor.size <= _LARGEST
    return numbers and not np.any(tensor.numpy())
