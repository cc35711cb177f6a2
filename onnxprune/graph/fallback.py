"""Ask onnx's own shape inference about a node that the symbolic rules have no answer for."""

from __future__ import annotations

import logging

import onnx
import onnx.defs
import onnx.shape_inference
import onnx_ir as ir

__all__ = ["ask", "merge"]

logger = logging.getLogger(__name__)

_LARGEST_CONSTANT = 256


def ask(node: ir.Node, model: ir.Model) -> None:
    """Merge what onnx's rule for an operator says into the shapes of a node's outputs.

    Args:
        node: The node; data types and shapes of its outputs may be set.
        model: The model that it is part of.
    """
    inputs = [value for value in node.inputs if value is not None]
    version = model.opset_imports.get(node.domain)
    if version is None or any(value.type is None for value in inputs):
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        answers = onnx.shape_inference.infer_node_outputs(
            schema,
            ir.serde.serialize_node(node),
            {value.name: _type(value) for value in inputs},
            {value.name: data for value in inputs if (data := _constant(value)) is not None},
            opset_imports=[
                onnx.helper.make_opsetid(domain, number)
                for domain, number in model.opset_imports.items()
            ],
            ir_version=model.ir_version,
        )
    except Exception as error:
        logger.info("no shape from onnx for node %r: %s", node.name, error)
        return
    known = {str(size) for value in inputs for size in value.shape or ()}
    for value in node.outputs:
        answer = answers.get(value.name or "")
        if answer is None:
            continue
        value.shape = merge(value.shape, _shape(answer, known))
        if value.type is None:
            value.type = ir.serde.deserialize_type_proto_for_type(answer)


def merge(first: ir.Shape | None, second: ir.Shape | None) -> ir.Shape | None:
    """Combine what two engines say about one value.

    Args:
        first: One answer, None for no answer; its symbols win.
        second: The other answer.

    Returns:
        A shape with every static size that either knows; where they contradict each other, the
        size, or for different ranks the whole shape, is unknown.
    """
    if first is None or second is None:
        return first if second is None else second
    if len(first) != len(second):
        return None
    return ir.Shape(_merge_sizes(a, b) for a, b in zip(first, second, strict=True))


def _merge_sizes(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> int | ir.SymbolicDim | None:
    if isinstance(a, int) and isinstance(b, int):
        return a if a == b else None
    if isinstance(a, int) or isinstance(b, int):
        return a if isinstance(a, int) else b
    return a if a.value is not None else b


def _type(value: ir.Value) -> onnx.TypeProto:
    assert value.type is not None
    proto: onnx.TypeProto = ir.serde.serialize_type(value.type)
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def _constant(value: ir.Value) -> onnx.TensorProto | None:
    tensor = value.const_value
    if tensor is None or tensor.size > _LARGEST_CONSTANT:
        return None
    proto: onnx.TensorProto = ir.serde.serialize_tensor(tensor)
    return proto


def _shape(answer: onnx.TypeProto, known: set[str]) -> ir.Shape | None:
    """Read a shape; symbols that onnx made up mean nothing."""
    shape = ir.serde.deserialize_type_proto_for_shape(answer)
    if shape is None:
        return None
    return ir.Shape(
        size if isinstance(size, int) or size.value in known else None for size in shape
    )
