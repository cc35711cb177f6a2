"""A hash of a model's architecture: equal for a model and a copy of it with other weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import onnx_ir as ir

from onnxprune.graph.graph import Graph

__all__ = ["fingerprint"]

_STRUCTURAL = (ir.DataType.INT64, ir.DataType.BOOL)
"""Types whose elements are part of the architecture: targets of Reshape, indices, masks."""


def fingerprint(graph: Graph) -> str:
    """Hash what a model computes but for the values of its weights.

    It depends on the operators with their attributes and their order of computation, on the shapes
    and types of inputs and initializers, and on which operators share a weight. It does not depend
    on names, documentation, metadata, the order of independent nodes, or the names of open axes.

    Args:
        graph: The graph. Folding may change it, so compare graphs that were loaded alike.

    Returns:
        A SHA-256 in hexadecimal.
    """
    model = graph.model
    hasher = _Hasher()
    outputs = hasher.run(model.graph, "")
    domains = {node.domain for node in model.graph.all_nodes()}
    versions = sorted((domain, model.opset_imports.get(domain)) for domain in domains)
    return _hash(
        *("inputs", *(_type(value) for value in model.graph.inputs)),
        *("outputs", *outputs),
        *("opsets", repr(versions)),
        *("weights", *sorted(hasher.sharing())),
    )


class _Hasher:
    """Gives every value a hash of how it is computed."""

    def __init__(self) -> None:
        self._values: dict[ir.Value, str] = {}
        self._nodes: dict[ir.Node, str] = {}
        self._weights: list[ir.Value] = []

    def run(self, graph: ir.Graph, where: str) -> list[str]:
        """Hash all nodes of a graph.

        Args:
            graph: A graph, its nodes in topological order.
            where: What tells its inputs from those of the graphs around it.

        Returns:
            The hashes of its outputs.
        """
        for value in graph.initializers.values():
            self._values[value] = _hash("initializer", _tensor(value.const_value))
            if value.const_value is not None and _is_matrix(value.const_value):
                self._weights.append(value)
        for index, value in enumerate(graph.inputs):
            self._values[value] = _hash("input", where, str(index), _type(value))
        for node in graph:
            self._nodes[node] = said = self._node(node, where)
            for index, value in enumerate(node.outputs):
                self._values[value] = _hash("result", said, str(index))
        return [self._values[value] for value in graph.outputs]

    def sharing(self) -> Iterator[str]:
        """One hash for each matrix, of the nodes that read it.

        Vectors are left out: some exporters merge those that happen to be equal.
        """
        for value in self._weights:
            uses = value.uses()
            readers = sorted(
                f"{self._nodes[u.node]} {u.idx}" for u in uses if u.node in self._nodes
            )
            yield _hash(self._values[value], *readers)

    def _node(self, node: ir.Node, where: str) -> str:
        inputs = ["" if value is None else self._values[value] for value in node.inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        said = [node.domain, node.op_type, node.overload, str(len(node.outputs)), *inputs]
        for name in sorted(node.attributes):
            said += [
                name,
                *self._attribute(node.attributes[name], f"{where}/{node.op_type}.{name}"),
            ]
        return _hash("node", *said)

    def _attribute(self, attribute: ir.Attr, where: str) -> Iterator[str]:
        kind = attribute.type
        yield kind.name
        if attribute.is_ref():
            yield repr(attribute.ref_attr_name)
        elif kind is ir.AttributeType.GRAPH:
            yield from self.run(attribute.as_graph(), where)
        elif kind is ir.AttributeType.GRAPHS:
            for index, graph in enumerate(attribute.as_graphs()):
                yield from self.run(graph, f"{where}[{index}]")
        elif kind is ir.AttributeType.TENSOR:
            yield _tensor(attribute.as_tensor())
        elif kind is ir.AttributeType.TENSORS:
            yield from map(_tensor, attribute.as_tensors())
        else:
            yield repr(attribute.value)


def _hash(*parts: str) -> str:
    """A hash of strings that no others have, whatever is in them."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def _tensor(tensor: ir.TensorProtocol | None) -> str:
    if tensor is None:
        return ""
    elements = ""
    if tensor.dtype in _STRUCTURAL:
        elements = hashlib.sha256(tensor.tobytes()).hexdigest()
    return f"{tensor.dtype} {tuple(tensor.shape.numpy())} {elements}"


def _is_matrix(tensor: ir.TensorProtocol) -> bool:
    return len(tensor.shape) > 1 and tensor.dtype.is_floating_point()


def _type(value: ir.Value) -> str:
    sizes = None
    if value.shape is not None:
        sizes = [size if isinstance(size, int) else None for size in value.shape]
    return f"{value.dtype} {sizes}"
