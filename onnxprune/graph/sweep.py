"""Remove what no output of a graph depends on."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.graph.nested import graphs_of

__all__ = ["release_lost", "sweep"]


def sweep(model: ir.Model) -> None:
    """Remove dead nodes from all graphs and unused initializers; the signature stays.

    Args:
        model: A model whose nodes are in topological order; changed in place.
    """
    _sweep_nodes(model.graph)
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del graph.initializers[name]


def release_lost(model: ir.Model) -> None:
    """Let values forget readers that are in no graph any more: those of a branch never taken.

    Args:
        model: The model, changed in place.
    """
    living = set(model.graph.all_nodes())
    for graph in model.graphs():
        computed = (value for node in graph for value in node.outputs)
        for value in (*graph.inputs, *graph.initializers.values(), *computed):
            for use in list(value.uses()):
                if use.node not in living:
                    use.node.replace_input_with(use.idx, None)


def _sweep_nodes(graph: ir.Graph) -> None:
    for node in reversed(graph):
        if any(value.uses() or value.is_graph_output() for value in node.outputs):
            for attribute in node.attributes.values():
                for inner in graphs_of(attribute):
                    _sweep_nodes(inner)
        else:
            _release(node)
            graph.remove(node, safe=True)


def _release(node: ir.Node) -> None:
    """Let go of the outer values that the nested graphs of a dead node use."""
    for attribute in node.attributes.values():
        for inner in graphs_of(attribute):
            inner.outputs.clear()
            for user in inner:
                _release(user)
            inner.remove(list(inner), safe=True)
