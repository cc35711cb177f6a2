"""What a rule sees of a node: its type, attributes, shapes and constants, never the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import onnx_ir as ir

from onnxprune.graph.dims import Dim
from onnxprune.graph.graph import Graph

__all__ = ["Op", "Unknown"]

T = TypeVar("T", int, float, str, list[int])
Shape = tuple[Dim, ...]

_TYPES = {
    int: ir.AttributeType.INT,
    float: ir.AttributeType.FLOAT,
    str: ir.AttributeType.STRING,
    list: ir.AttributeType.INTS,
}


class Unknown(Exception):
    """Something that a rule needs is not known; its text becomes the barrier's reason."""


class Op:
    """A read-only view of one node.

    Args:
        node: The node.
        graph: Its graph, for shapes and constants.
        shape_of: Gives the shape of a value; the graph's own unless given.
    """

    def __init__(
        self,
        node: ir.Node,
        graph: Graph,
        shape_of: Callable[[ir.Value], Shape | None] | None = None,
    ) -> None:
        self.node = node
        self.type = node.op_type
        self._graph = graph
        self._shape_of = shape_of or graph.shape

    @property
    def version(self) -> int:
        """The opset version of the operator's domain."""
        return self._graph.model.opset_imports.get(self.node.domain, 1)

    def attr(self, name: str, default: T) -> T:
        """The value of an attribute; lists of integers come as lists.

        Raises:
            Unknown: If it is of another type than the default.
        """
        attribute = self.node.attributes.get(name)
        if attribute is None or attribute.value is None:
            return default
        if attribute.type != _TYPES[type(default)]:
            raise Unknown(f"its attribute {name} is of the wrong type")
        value = attribute.value
        return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]

    def has(self, i: int) -> bool:
        """Whether input `i` is present."""
        return i < len(self.node.inputs) and self.node.inputs[i] is not None

    def used(self, i: int) -> bool:
        """Whether anything reads output `i`."""
        value = self.node.outputs[i] if i < len(self.node.outputs) else None
        return value is not None and (bool(value.uses()) or value.is_graph_output())

    def shape(self, i: int) -> Shape:
        """The shape of input `i`.

        Raises:
            Unknown: If the input is absent or its rank is not known.
        """
        value = self.node.inputs[i] if self.has(i) else None
        shape = self._shape_of(value) if value is not None else None
        if shape is None:
            raise Unknown(f"the shape of its input {i} is not known")
        return shape

    def shapes(self) -> list[Shape | None]:
        """The shape of every input, None where one is absent."""
        return [self.shape(i) if self.has(i) else None for i in range(len(self.node.inputs))]

    def result(self, i: int = 0) -> Shape:
        """The shape of output `i`.

        Raises:
            Unknown: If its rank is not known.
        """
        shape = self._shape_of(self.node.outputs[i])
        if shape is None:
            raise Unknown(f"the shape of its output {i} is not known")
        return shape

    def ints(self, i: int) -> list[int] | None:
        """The elements of a constant integer input, None when it is absent.

        Raises:
            Unknown: If the input is there and its elements are not all known.
        """
        value = self.node.inputs[i] if self.has(i) else None
        if value is None:
            return None
        if value.const_value is not None:
            return [int(element) for element in value.const_value.numpy().reshape(-1)]
        elements = self.elements(i)
        if elements is None or any(e is None or e.dynamic for e in elements):
            raise Unknown(f"its input {i} is computed while the model runs")
        return [e.size for e in elements if e is not None]

    def elements(self, i: int) -> tuple[Dim | None, ...] | None:
        """The elements of a small integer input as far as they are known, None if it is absent."""
        value = self.node.inputs[i] if self.has(i) else None
        return None if value is None else self._graph.elements(value)

    def known(self, name: str, i: int, since: int) -> list[int | None] | None:
        """As `numbers`, with None for elements that are not known or dynamic.

        Raises:
            Unknown: If the input is there and not even its length is known.
        """
        if self.version < since or not self.has(i) or self.constant(i):
            return [*numbers] if (numbers := self.numbers(name, i, since)) is not None else None
        elements = self.elements(i)
        if elements is None:
            (length,) = self.shape(i)
            if length.dynamic:
                raise Unknown(f"its input {i} is computed while the model runs")
            return [None] * length.size
        return [None if e is None or e.dynamic else e.size for e in elements]

    def numbers(self, name: str, i: int, since: int) -> list[int] | None:
        """Integers that are an attribute before opset `since`, from then on input `i`.

        Raises:
            Unknown: If the input is there and its elements are not all known.
        """
        if self.version >= since:
            return self.ints(i)
        return self.attr(name, [0]) if name in self.node.attributes else None

    def floats(self, name: str, i: int) -> list[float]:
        """Floating point numbers, an attribute or the constant input `i`.

        Raises:
            Unknown: If they are neither.
        """
        attribute = self.node.attributes.get(name)
        if attribute is not None and attribute.type == ir.AttributeType.FLOATS:
            return [float(number) for number in attribute.as_floats()]
        value = self.node.inputs[i] if self.has(i) else None
        if value is None or value.const_value is None:
            raise Unknown(f"its {name} are computed while the model runs")
        return [float(number) for number in value.const_value.numpy().reshape(-1)]

    def constant(self, i: int) -> bool:
        """Whether input `i` is an initializer."""
        value = self.node.inputs[i] if self.has(i) else None
        return value is not None and value.const_value is not None

    def axes(self, rank: int, i: int = 1) -> list[int] | None:
        """The operator's ``axes`` as non-negative numbers, attribute or input `i`."""
        axes = self.ints(i) if self.has(i) else self.attr("axes", [0][:0])
        return sorted(a % rank for a in axes) if axes else None
