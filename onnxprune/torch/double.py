"""The same model in double precision, where rounding is no excuse."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

__all__ = ["in_double"]

_TYPES = {"dtype", "output_datatype", "output_dtype", "stash_type", "to"}
DOUBLE = ir.DataType.DOUBLE
NARROW = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}


def in_double(model: ir.Model) -> ir.Model:
    """A copy of a model with every narrower float tensor, attribute and conversion in float64.

    Only for `onnxprune.torch.Interpreter`: not every operator of the standard has a float64 form.

    Args:
        model: The model; it is not changed.
    """
    clone = model.clone()
    for graph in clone.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype in NARROW:
                value.const_value = _widened(value.const_value)
                value.type = ir.TensorType(DOUBLE)  # a clone shares its types with the original
    for node in clone.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in NARROW:
                node.attributes[name] = ir.AttrTensor(name, _widened(attribute.value))
            elif name in _TYPES and attribute.value in NARROW:
                node.attributes[name] = ir.AttrInt64(name, int(DOUBLE))
    return clone


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float64), name=tensor.name)
