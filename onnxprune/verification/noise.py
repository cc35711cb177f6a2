"""Random numbers that every runtime draws alike, so that models which draw them can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from onnxprune.graph import Graph
from onnxprune.graph.names import Namer, value_names

__all__ = ["still"]

_PERIOD = 997
_STEP = 1.6180339887
_START = 0.5
"""Not zero, where a single number that is drawn would be the mean: often zero, which hides much."""

_OLDEST = 11
"""The first opset that has a Range."""


def still(graph: Graph) -> Graph:
    """A graph that draws what it draws at random from a fixed sequence instead.

    The sequence depends on the shape of what is drawn alone: a sine of the position, of the mean
    and the spread that were asked for.

    Args:
        graph: The graph; it is not changed.

    Returns:
        The graph itself if it draws nothing, else a copy, without shapes.
    """
    nodes = [node for node in graph.model.graph.all_nodes() if _draws(node)]
    if not nodes or graph.model.opset_imports.get("", 1) < _OLDEST:
        return graph
    model = graph.model.clone()
    maker = _Maker(model)
    for node in [node for node in model.graph.all_nodes() if _draws(node)]:
        maker.replace(node)
    return Graph(model, graph.source, {}, {})


def _draws(node: ir.Node) -> bool:
    return node.domain == "" and node.op_type in _SPREADS


def _normal(node: ir.Node) -> tuple[float, float]:
    return _number(node, "mean", 0.0), _number(node, "scale", 1.0) * math.sqrt(2)


def _uniform(node: ir.Node) -> tuple[float, float]:
    low, high = _number(node, "low", 0.0), _number(node, "high", 1.0)
    return (low + high) / 2, (high - low) / 2


_SPREADS: dict[str, Callable[[ir.Node], tuple[float, float]]] = {
    "RandomNormal": _normal,
    "RandomNormalLike": _normal,
    "RandomUniform": _uniform,
    "RandomUniformLike": _uniform,
}
"""The middle of what is drawn, and the height of a sine that spreads as far."""


def _number(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


class _Maker:
    """Puts nodes in the place of others."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        nodes = (node.name or "" for node in model.graph.all_nodes())
        self._namer = Namer([*value_names(model), *nodes])

    def replace(self, node: ir.Node) -> None:
        """Compute what a node draws at random from the positions of its elements."""
        made: list[ir.Node] = []

        def make(operator: str, *operands: ir.Value, **attributes: int) -> ir.Value:
            name = self._namer.unique(f"{node.name}_{operator}")
            made.append(ir.node(operator, list(operands), attributes, name=name))
            made[-1].outputs[0].name = name
            return made[-1].outputs[0]

        given = node.inputs[0] if node.inputs else None
        if given is not None:
            shape = make("Shape", given)
        else:
            shape = self._constant(node, np.array(list(node.attributes["shape"].as_ints())))
        zero, one = (self._constant(node, np.array(number)) for number in (0, 1))
        places = make("Range", zero, make("ReduceProd", shape, keepdims=0), one)
        period = self._constant(node, np.array(_PERIOD))
        angles = make("Cast", make("Mod", places, period), to=int(ir.DataType.FLOAT))
        turned = make("Mul", angles, self._constant(node, np.float32(_STEP)))
        waves = make("Sin", make("Add", turned, self._constant(node, np.float32(_START))))
        middle, height = map(np.float32, _SPREADS[node.op_type](node))
        spread = make("Mul", waves, self._constant(node, height))
        drawn = make("Add", spread, self._constant(node, middle))
        result = make("Cast", make("Reshape", drawn, shape), to=int(self._dtype(node)))
        self._settle(node, made, result)

    def _dtype(self, node: ir.Node) -> ir.DataType:
        """The type of what is drawn: that asked for, that of what it shall be like, or float32."""
        attribute = node.attributes.get("dtype")
        if attribute is not None:
            return ir.DataType(attribute.as_int())
        given = node.inputs[0] if node.inputs else None
        return ir.DataType.FLOAT if given is None or given.dtype is None else given.dtype

    def _settle(self, node: ir.Node, made: list[ir.Node], result: ir.Value) -> None:
        graph, drawn = node.graph, node.outputs[0]
        assert isinstance(graph, ir.Graph)
        graph.insert_before(node, made)
        drawn.replace_all_uses_with(result, replace_graph_outputs=True)
        result.shape, result.type = drawn.shape, drawn.type
        result.name, drawn.name = drawn.name, result.name
        graph.remove(node, safe=True)

    def _constant(self, near: ir.Node, array: np.ndarray | np.generic) -> ir.Value:
        whole = np.asarray(array)
        name = self._namer.unique(f"{near.name}_still")
        value = ir.Value(name=name, const_value=ir.tensor(whole, name=name))
        value.shape, value.dtype = ir.Shape(whole.shape), ir.DataType.from_numpy(whole.dtype)
        self._model.graph.register_initializer(value)
        return value
