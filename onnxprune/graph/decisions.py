"""Comparisons of sizes, and what is chosen by them, where they can be told without running.

Exporters write ``Where(Equal(target, -1), ones, target)`` for the target of an Expand.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxprune.graph.expressions import symbols_of

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["decide"]

_Item = int | ir.SymbolicDim
_Items = Sequence[_Item]


def decide(context: ShapeInferenceContext, node: ir.Node, sizes: Set[str]) -> None:
    """Tell the elements of an Equal, or of a Where whose condition is known, if they can be told.

    Args:
        context: The run of the shape inference.
        node: The node, to which all other rules have been applied.
        sizes: Symbols that are sizes of inputs, and therefore not negative.
    """
    if node.domain != "" or node.op_type not in ("Equal", "Where"):
        return
    given = [None if value is None else context.get_symbolic_value(value) for value in node.inputs]
    known = [items for items in given if items is not None]
    output = node.outputs[0]
    flat = output.shape is not None and len(output.shape) < 2
    if not flat or len(known) != {"Equal": 2, "Where": 3}[node.op_type]:
        return
    length = max(map(len, known))
    if any(len(items) not in (1, length) for items in known):
        return
    columns = [items if len(items) == length else [*items] * length for items in known]
    results = [
        _equal(row[0], row[1], sizes) if node.op_type == "Equal" else _chosen(*row)
        for row in zip(*columns, strict=True)
    ]
    if all(result is None for result in results):
        return
    before = context.get_symbolic_value(output) or [None] * length
    context.set_symbolic_value(
        output,
        [
            new if new is not None else old if old is not None else context.new_symbolic_dim()
            for new, old in zip(results, before, strict=True)
        ],
    )


def _equal(a: _Item, b: _Item, sizes: Set[str]) -> int | None:
    """1 if they are equal, 0 if not, None if that is open."""
    if isinstance(a, int) and isinstance(b, int):
        return int(a == b)
    if isinstance(a, ir.SymbolicDim) and isinstance(b, ir.SymbolicDim):
        return 1 if a.value is not None and a.value == b.value else None
    number, symbol = (a, b) if isinstance(a, int) else (b, a)
    return 0 if isinstance(number, int) and number < 0 and _is_size(symbol, sizes) else None


def _is_size(item: _Item, sizes: Set[str]) -> bool:
    """Whether it is a sum or product of sizes."""
    text = item.value if isinstance(item, ir.SymbolicDim) else None
    if text is None or not set(symbols_of(text)) <= sizes:
        return False
    return all(character.isalnum() or character in "_. +*()" for character in text)


def _chosen(condition: _Item, first: _Item, second: _Item) -> _Item | None:
    if isinstance(condition, int):
        return first if condition else second
    return None
