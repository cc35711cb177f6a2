"""How labels go into the graphs inside a node, from one turn to the next, and out again."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

__all__ = ["Flow", "Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """Two values that are the same tensor, but for an axis that only the outer one has.

    Attributes:
        outer: The value outside of the graph; of what is carried on, the graph's input.
        inner: The value inside; of what is carried on, the graph's result.
        axis: The axis of the outer value of which the inner one is one index, None without any.
    """

    outer: ir.Value
    inner: ir.Value
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """The graphs inside a node, and what its operands and results are in them.

    Attributes:
        graphs: The graphs; they may use any value of the graphs around them.
        given: The node's operands and the graphs' inputs.
        carried: The graphs' inputs and the results that take their place in the next turn.
        results: The node's results and those of the graphs; of several graphs, any may be taken.
        reason: Why the axis that a link leaves out stays whole.
    """

    graphs: tuple[ir.Graph, ...]
    given: tuple[Link, ...] = ()
    carried: tuple[Link, ...] = ()
    results: tuple[Link, ...] = ()
    reason: str = "its graph runs once for every index of this axis, in order"
