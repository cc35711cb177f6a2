"""The same model in a wider precision: in float64, where rounding is no excuse."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

__all__ = ["in_double", "widened"]

_TYPES = {"dtype", "output_datatype", "output_dtype", "stash_type", "to"}
_NARROW = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def in_double(model: ir.Model) -> ir.Model:
    """A copy of a model with every narrower float tensor, attribute and conversion in float64.

    Only for `onnxprune.torch.Interpreter`: not every operator of the standard has a float64 form.

    Args:
        model: The model; it is not changed.
    """
    return widened(model, _NARROW, ir.DataType.DOUBLE)


def widened(model: ir.Model, narrow: Collection[ir.DataType], wide: ir.DataType) -> ir.Model:
    """A copy of a model with every tensor, attribute and conversion of some types in a wider one.

    Args:
        model: The model; it is not changed.
        narrow: The types.
        wide: The type that takes their place.
    """
    clone = model.clone()
    for graph in clone.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype in narrow:
                value.const_value = _in(wide, value.const_value)
                value.type = ir.TensorType(wide)  # a clone shares its types with the original
    for node in clone.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in narrow:
                node.attributes[name] = ir.AttrTensor(name, _in(wide, attribute.value))
            elif name in _TYPES and attribute.value in narrow:
                node.attributes[name] = ir.AttrInt64(name, int(wide))
    return clone


def _in(wide: ir.DataType, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(wide.numpy()), name=tensor.name)
