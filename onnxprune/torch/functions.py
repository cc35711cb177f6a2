"""The function bodies by which the ONNX standard defines some of its operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir
from onnx import helper

from onnxprune.torch.masked import Masked
from onnxprune.torch.tensors import onnx_code

__all__ = ["body"]


def body(node: ir.Node, opset: int, arguments: Sequence[Masked | None]) -> ir.Model | None:
    """The body of an operator as a model, for one node.

    Args:
        node: The node; its attributes are put in.
        opset: The version of its operator set.
        arguments: Its arguments; some bodies depend on their types.

    Returns:
        A model whose inputs are those arguments that are given; None if there is no body.
    """
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return None
    proto = ir.to_proto(node)
    function = _static(schema, opset) or _contextual(schema, opset, proto, arguments)
    if function is None:
        return None
    attributes = {name: d.default_value for name, d in schema.attributes.items()}
    attributes = {name: a for name, a in attributes.items() if a.type}
    attributes |= {a.name: a for a in function.attribute_proto}
    attributes |= {a.name: a for a in proto.attribute}
    nodes = [_bound(inner, attributes) for inner in function.node]
    given = [x is not None for x in arguments]
    present = {n for n, here in zip(function.input, given, strict=False) if here}
    absent = set(function.input) - present
    for inner in nodes:
        inner.input[:] = ["" if name in absent else name for name in inner.input]
    inputs = [name for name in function.input if name in present]
    outputs = [n for n, out in zip(function.output, proto.output, strict=False) if out]
    graph = helper.make_graph(nodes, f"{node.op_type} body", _typeless(inputs), _typeless(outputs))
    opsets = list(function.opset_import) or [helper.make_opsetid(node.domain, opset)]
    model: ir.Model = ir.from_proto(helper.make_model(graph, opset_imports=opsets))
    return model


def _typeless(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
    return [helper.make_value_info(name, onnx.TypeProto()) for name in names]


def _version(versions: Sequence[int], opset: int) -> int | None:
    """The newest version that is not newer than the operator set."""
    usable = [version for version in versions if version <= opset]
    return max(usable) if usable else None


def _static(schema: Any, opset: int) -> onnx.FunctionProto | None:
    if not schema.has_function:
        return None
    version = _version(schema.function_opset_versions, opset)
    if version is None:
        return None
    return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(version))


def _contextual(
    schema: Any,
    opset: int,
    proto: onnx.NodeProto,
    arguments: Sequence[Masked | None],
) -> onnx.FunctionProto | None:
    if not schema.has_context_dependent_function:
        return None
    version = _version(schema.context_dependent_function_opset_versions, opset)
    if version is None:
        return None
    types = [
        b""
        if x is None
        else helper.make_tensor_type_proto(
            onnx_code(x.value.dtype), list(x.value.shape)
        ).SerializeToString()
        for x in arguments
    ]
    made = schema.get_context_dependent_function_with_opset_version(
        version, proto.SerializeToString(), types
    )
    return onnx.FunctionProto.FromString(made)


def _bound(node: onnx.NodeProto, attributes: dict[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """A node of a body with the attributes it refers to put in."""
    bound = onnx.NodeProto()
    bound.CopyFrom(node)
    del bound.attribute[:]
    for attribute in node.attribute:
        made = onnx.AttributeProto()
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in attributes:
                continue
            made.CopyFrom(attributes[attribute.ref_attr_name])
            made.name = attribute.name
        else:
            made.CopyFrom(attribute)
            if made.HasField("g"):
                inner = [_bound(node, attributes) for node in made.g.node]
                del made.g.node[:]
                made.g.node.extend(inner)
        bound.attribute.append(made)
    return bound
