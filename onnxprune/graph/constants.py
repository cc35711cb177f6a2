"""Constants: initializers of the main graph, none of them an input, vectors unshared."""

from __future__ import annotations

import logging
import re
from collections import Counter
from itertools import groupby

import onnx_ir as ir

from onnxprune.graph.dtypes import may_shrink
from onnxprune.graph.names import Namer, value_names
from onnxprune.graph.nested import constant

__all__ = [
    "drop_from_inputs",
    "hoist",
    "lift",
    "merge_copies",
    "unshare",
    "unshare_dequantised",
]

logger = logging.getLogger(__name__)

_COPY = re.compile(r"(.+)__(\d+)\Z", re.DOTALL)
_INITIALIZER_NEED_NOT_BE_INPUT = 4


def lift(model: ir.Model) -> None:
    """Turn the ``Constant`` nodes of all graphs into initializers of the same name.

    One that is itself the output of a graph stays: a node has to produce it. So does one that
    holds something other than a dense tensor.

    Args:
        model: The model, changed in place.
    """
    for node in list(model.graph.all_nodes()):
        if node.op_type != "Constant" or node.domain != "" or len(node.outputs) != 1:
            continue
        output, graph = node.outputs[0], node.graph
        tensor = constant(output)
        if tensor is None or graph is None or output.is_graph_output():
            continue
        initializer = ir.Value(
            name=output.name,
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        output.replace_all_uses_with(initializer)
        graph.remove(node, safe=True)
        graph.register_initializer(initializer)


def hoist(model: ir.Model) -> None:
    """Move the initializers of graphs inside nodes to the main graph, which they see as well.

    One that is itself the output of its graph stays: an outer value cannot be handed out.

    Args:
        model: The model, changed in place.
    """
    counts = Counter(value_names(model))
    namer = Namer(counts)
    for graph in model.graphs():
        if graph is model.graph:
            continue
        for name, value in list(graph.initializers.items()):
            if value.is_graph_output() or value.is_graph_input() or value.const_value is None:
                continue
            del graph.initializers[name]
            if counts[name] > 1:
                value.name = namer.unique(name)
            model.graph.register_initializer(value)


def drop_from_inputs(model: ir.Model) -> None:
    """Remove initializers from the inputs of their graph: nobody may feed other weights.

    IR version 3 demands that every initializer is an input as well, so a model of that age is
    declared to be of version 4, the first that does not; nothing else differs between the two.

    Args:
        model: The model, changed in place.
    """
    for graph in model.graphs():
        kept = [value for value in graph.inputs if not value.is_initializer()]
        if len(kept) != len(graph.inputs):
            graph.inputs.clear()
            graph.inputs.extend(kept)
    model.ir_version = max(model.ir_version, _INITIALIZER_NEED_NOT_BE_INPUT)


def unshare(model: ir.Model, untie: bool = False) -> None:
    """Give each use of an initializer of numbers that is shared by chance its own copy of it.

    Exporters merge equal tensors, so that for example all zero biases of a network are one, or the
    zeros that states start from. Seen as one tensor they would tie layers to each other that have
    nothing in common. The first use keeps the original, the others get copies called ``name__2``,
    ``name__3``... Of tensors that are no vectors, those stay shared whose elements differ: they
    are tied on purpose, like an embedding and the projection to the vocabulary.

    Args:
        model: The model, changed in place.
        untie: Give each use of larger ones its own copy as well.
    """
    graph = model.graph
    namer = Namer(value_names(model))
    order = {node: index for index, node in enumerate(graph.all_nodes())}
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or len(value.uses()) < 2 or not may_shrink(tensor.dtype):
            continue
        if not (untie or len(tensor.shape) == 1 or _is_uniform(tensor)):
            continue
        uses = sorted(value.uses(), key=lambda use: (order[use.node], use.idx))
        for use in uses[0 if value.is_graph_output() else 1 :]:
            copy = _copy(value, tensor, namer.unique(str(value.name)))
            graph.register_initializer(copy)
            use.node.replace_input_with(use.idx, copy)


def unshare_dequantised(model: ir.Model) -> None:
    """Give each use of a vector that is dequantised its own DequantizeLinear.

    Quantisers dequantise what several layers share once. Afterwards `unshare` tells them apart.

    Args:
        model: The model, changed in place.
    """
    namer = Namer([*value_names(model), *(str(n.name) for n in model.graph.all_nodes())])
    for node in list(model.graph.all_nodes()):
        if not _dequantises_vector(node) or node.outputs[0].is_graph_output():
            continue
        output, graph = node.outputs[0], node.graph
        for use in list(output.uses())[1:]:
            name = namer.unique(str(node.name))
            attributes = list(node.attributes.values())
            made = ir.Node(node.domain, node.op_type, node.inputs, attributes, name=name)
            made.outputs[0].name = namer.unique(str(output.name))
            made.outputs[0].type = output.type
            assert isinstance(graph, ir.Graph)
            graph.insert_after(node, made)
            use.node.replace_input_with(use.idx, made.outputs[0])


def _dequantises_vector(node: ir.Node) -> bool:
    if node.op_type != "DequantizeLinear" or not node.inputs or len(node.outputs) != 1:
        return False
    tensors = [value.const_value for value in node.inputs if value is not None]
    return all(tensor is not None and len(tensor.shape) < 2 for tensor in tensors)


def merge_copies(model: ir.Model) -> None:
    """Undo :func:`unshare` where it can be undone: copies that are still equal become one again.

    Only ``x`` and its copies ``x__2``, ``x__3``... are compared, so no other initializer loses
    its name; those whose metadata differ stay apart.

    Args:
        model: The model, changed in place.
    """
    initializers = model.graph.initializers
    families = sorted(
        (value for value in initializers.values() if _is_weight(value)),
        key=lambda value: (_family(value), len(str(value.name)), str(value.name)),
    )
    for _, group in groupby(families, key=_family):
        members = list(group)
        if len(members) < 2:
            continue
        kept: dict[tuple[object, ...], ir.Value] = {}
        for value in members:
            tensor = value.const_value
            assert tensor is not None
            said = tuple(sorted(tensor.metadata_props.items()))
            key = tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes(), said
            first = kept.setdefault(key, value)
            if first is not value and not value.is_graph_output():
                value.replace_all_uses_with(first)
                del initializers[str(value.name)]


def _is_uniform(tensor: ir.TensorProtocol) -> bool:
    """Whether there are several elements, all the same; a few tell of most that they are not."""
    elements = tensor.numpy().reshape(-1)
    head = elements[:64]
    return elements.size > 1 and bool((head == head[0]).all() and (elements == head[0]).all())


def _is_weight(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and may_shrink(tensor.dtype) and not value.is_graph_input()


def _family(value: ir.Value) -> str:
    match = _COPY.match(str(value.name))
    return match.group(1) if match else str(value.name)


def _copy(value: ir.Value, tensor: ir.TensorProtocol, name: str) -> ir.Value:
    copied = ir.LazyTensor(
        lambda: tensor,
        dtype=tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=name,
        metadata_props=dict(tensor.metadata_props),
    )
    return ir.Value(
        name=name,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=copied,
        doc_string=value.doc_string,
    )
