"""What is put right in a model that torch exported."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir
import onnx_ir.passes.common

from onnxprune.errors import OnnxPruneError

__all__ = [
    "BATCH",
    "FIXED",
    "name_batch",
    "own",
    "rename_tied",
    "restore",
    "size",
    "strip",
    "tell_apart",
]

BATCH = "batch"
"""The name of the open axis."""

FIXED = "{}: forward computes with its size; export with dynamic=False"
"""Why a batch cannot be open, but for what was found."""

_STACK_TRACE = "pkg.torch.onnx.stack_trace"


def name_batch(model: ir.Model) -> None:
    """Call the open axis by its name everywhere, or say that it is not open."""
    symbols = set()
    for value in model.graph.inputs:
        size = value.shape[0] if value.shape else None
        if isinstance(size, int):
            raise OnnxPruneError(FIXED.format(f"{value.name!r} can only have a batch of {size}"))
        if size is not None and size.value not in (None, BATCH):
            symbols.add(re.escape(str(size.value)))
    if not symbols:
        return
    pattern = re.compile(rf"\b({'|'.join(symbols)})\b")
    nodes = [*model.graph.all_nodes()]
    for value in (*model.graph.inputs, *(value for node in nodes for value in node.outputs)):
        value.shape = value.shape and ir.Shape(
            size if isinstance(size, int) else size.value and pattern.sub(BATCH, size.value)
            for size in value.shape
        )


def strip(model: ir.Model) -> None:
    """Remove the lines of the author's source, which tell where that is on the disk."""
    for node in model.graph.all_nodes():
        node.metadata_props.pop(_STACK_TRACE, None)
    for function in model.functions.values():
        for node in function.all_nodes():
            node.metadata_props.pop(_STACK_TRACE, None)


def restore(model: ir.Model, names: set[str]) -> None:
    """Give equal tensors back their own names: the legacy exporter stores one and copies it."""
    graph = model.graph
    for node in list(graph):
        if node.op_type != "Identity" or node.domain != "":
            continue
        source, output = node.inputs[0], node.outputs[0]
        if source is None or source.const_value is None or output.name not in names:
            continue
        tensor = source.const_value
        named = ir.Value(
            name=output.name,
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(tensor.dtype),
            const_value=ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=output.name),
        )
        output.replace_all_uses_with(named)
        graph.remove(node, safe=True)
        graph.register_initializer(named)


def drop_zero_biases(model: ir.Model) -> None:
    """Remove the zeros that the dynamo exporter computes for a convolution without a bias.

    Its own optimisation removes them too; those of a 3-D convolution have the wrong shape.
    """
    for node in model.graph.all_nodes():
        if node.op_type != "Conv" or len(node.inputs) < 3 or node.inputs[2] is None:
            continue
        made = node.inputs[2].producer()
        zero = made.inputs[0] if made is not None and made.op_type == "Expand" else None
        while zero is not None and (cast := zero.producer()) and cast.op_type == "CastLike":
            zero = cast.inputs[0]
        tensor = None if zero is None else ir.convenience.get_const_tensor(zero)
        if tensor is not None and tensor.size == 1 and not tensor.numpy().any():
            node.resize_inputs(2)
    ir.passes.common.RemoveUnusedNodesPass()(model)


def rename_tied(model: ir.Model, state: Mapping[str, object]) -> None:
    """Call a parameter that has several names by the first: the dynamo exporter takes the last."""
    initializers = model.graph.initializers
    first: dict[int, str] = {}
    for name, tensor in state.items():
        canonical = first.setdefault(id(tensor), name)
        if canonical != name and name in initializers and canonical not in initializers:
            initializers[name].name = canonical


def tell_apart(model: ir.Model) -> None:
    """Rename results that the dynamo exporter calls as a parameter is called, such as ``mean``."""
    graph = model.graph
    results = [value for node in graph.all_nodes() for value in node.outputs]
    taken = {value.name for value in (*graph.inputs, *results)} | set(graph.initializers)
    for value in results:
        if value.name in graph.initializers:
            number = 1
            while f"{value.name}_{number}" in taken:
                number += 1
            value.name = f"{value.name}_{number}"
            taken.add(value.name)


def own(model: ir.Model) -> None:
    """Copy the weights: those of the dynamo exporter are the module's, which may be trained on."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and not isinstance(tensor, ir.StringTensor):
                value.const_value = ir.Tensor(
                    tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name
                )


def size(model: ir.Model) -> int:
    """Bytes of the weights."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
