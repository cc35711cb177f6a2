"""Refuse models that are not what they claim, before anything trusts their claims."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.defs
import onnx_ir as ir

from onnxprune.errors import LoadError

__all__ = ["check_names", "check_structure", "check_types", "sort"]

_OLDEST_OPSET = 7


def check_names(proto: onnx.ModelProto) -> None:
    """Check that no two values of a graph share a name; parsers would silently drop one.

    Args:
        proto: The model.

    Raises:
        LoadError: If a name is declared twice, or a constant is sparse.
    """
    graph = proto.graph
    if graph.sparse_initializer:
        raise LoadError("it has sparse initializers, which are not supported; export it dense")
    for kind, names in (
        ("input", (info.name for info in graph.input)),
        ("initializer", (tensor.name for tensor in graph.initializer)),
        ("output", (info.name for info in graph.output)),
    ):
        twice = _first_repeated(names)
        if twice is not None:
            raise LoadError(
                f"two of its {kind}s are called {twice!r}; names must be unique, export it again"
            )
    constants = {tensor.name for tensor in graph.initializer}
    constants.update(info.name for info in graph.input)
    computed: set[str] = set()
    for node in graph.node:
        for name in filter(None, node.output):
            if name in computed or name in constants:
                raise LoadError(
                    f"node {node.name!r} ({node.op_type}) computes {name!r}, which is defined "
                    "already; names must be unique, export it again"
                )
            computed.add(name)


def check_types(proto: onnx.ModelProto) -> None:
    """Check that nothing in the model is a map, which parsers cannot read.

    Args:
        proto: The model.

    Raises:
        LoadError: If it gives or takes a map, as classifiers of classical machine learning do.
    """
    graph = proto.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        kind = info.type
        while kind.HasField("sequence_type"):
            kind = kind.sequence_type.elem_type
        if kind.HasField("map_type"):
            raise LoadError(
                f"{info.name!r} is a map from keys to values, which is not supported; export the "
                "model without ZipMap"
            )


def check_structure(model: ir.Model) -> None:
    """Check that a model has nodes, outputs, known operator sets, and no loose ends.

    Args:
        model: The model.

    Raises:
        LoadError: If it is not so.
    """
    graph = model.graph
    if not len(graph):
        raise LoadError("its graph has no nodes, so there is nothing to prune")
    if not graph.outputs:
        raise LoadError("its graph has no outputs, so it computes nothing; export it again")
    _check_opset(model)
    _check_ends(model)


def sort(model: ir.Model) -> None:
    """Put the nodes of a model in topological order.

    Args:
        model: The model, changed in place; a sorted one stays as it is.

    Raises:
        LoadError: If that is impossible, because nodes depend on one another in a circle.
    """
    try:
        model.graph.sort()
        for function in model.functions.values():
            function.sort()
    except ValueError:
        raise LoadError(
            "its graph has a cycle, a node that depends on its own result; export it again"
        ) from None


def _check_opset(model: ir.Model) -> None:
    newest = onnx.defs.onnx_opset_version()
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    supported = f"opsets {_OLDEST_OPSET} to {newest} of ai.onnx are supported"
    if version is None:
        if any(node.domain == "" for node in model.graph.all_nodes()):
            raise LoadError(f"it does not say which opset it uses; {supported}, export it again")
        return
    if version > newest:
        raise LoadError(
            f"it uses opset {version}; {supported}, upgrade the onnx package or export it with "
            "an older opset"
        )
    if version < _OLDEST_OPSET:
        raise LoadError(
            f"it uses opset {version}; {supported}, convert it with onnx.version_converter or "
            "export it again"
        )


def _check_ends(model: ir.Model) -> None:
    bodies = [function.graph for function in model.functions.values()]
    nested = [graph for body in bodies for graph in body.subgraphs()]
    for graph in (*model.graphs(), *bodies, *nested):
        for value in graph.initializers.values():
            if value.const_value is None:
                raise LoadError(f"its initializer {value.name!r} has no data; export it again")
        for node in graph:
            for read in node.inputs:
                if read is not None and _loose(read):
                    raise LoadError(
                        f"node {node.name!r} ({node.op_type}) reads {read.name!r}, which nothing "
                        "defines; export it again"
                    )
        for value in graph.outputs:
            if _loose(value):
                raise LoadError(
                    f"its output {value.name!r} is computed by no node; export it again"
                )


def _loose(value: ir.Value) -> bool:
    producer = value.producer()
    if producer is not None:
        return producer.graph is None
    return not (value.is_graph_input() or value.is_initializer())


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
