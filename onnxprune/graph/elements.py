"""Elements of small integer tensors that onnx-shape-inference does not tell.

Exporters write ``Where(Equal(target, -1), ones, target)`` for the target of an Expand, and divide
the size of a layer by the number of its heads.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxprune.graph.expressions import lower_bound, symbols_of

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["tell_elements"]

_Item = int | ir.SymbolicDim
_Items = Sequence[_Item]

_OPERANDS = {"Div": 2, "Equal": 2, "Where": 3}
_WHOLE = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


def tell_elements(context: ShapeInferenceContext, node: ir.Node, sizes: Set[str]) -> None:
    """Tell the elements of a quotient, a comparison, or what is chosen by one, if that is possible.

    Args:
        context: The run of the shape inference.
        node: The node, to which all other rules have been applied.
        sizes: Symbols that are sizes of inputs, and therefore not negative.
    """
    operands = _OPERANDS.get(node.op_type) if node.domain == "" else None
    if operands is None:
        return
    given = [None if value is None else context.get_symbolic_value(value) for value in node.inputs]
    known = [items for items in given if items is not None]
    output = node.outputs[0]
    flat = output.shape is not None and len(output.shape) < 2
    if not flat or len(known) != operands or output.dtype not in _WHOLE:
        return
    length = max(map(len, known))
    if any(len(items) not in (1, length) for items in known):
        return
    columns = [items if len(items) == length else [*items] * length for items in known]
    results = [_result(node.op_type, row, sizes) for row in zip(*columns, strict=True)]
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


def _result(op_type: str, row: _Items, sizes: Set[str]) -> _Item | None:
    if op_type == "Where":
        return _chosen(*row)
    told = _equal if op_type == "Equal" else _quotient
    return told(row[0], row[1], sizes)


def _quotient(a: _Item, b: _Item, sizes: Set[str]) -> _Item | None:
    """The quotient, rounded down, if neither is negative."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a >= 0 and b > 0 else None
    divides = b > 0 if isinstance(b, int) else _is_size(b, sizes, 1)
    if isinstance(a, int) or not divides or not _is_size(a, sizes):
        return None
    quotient = a // b
    text = quotient.value if isinstance(quotient, ir.SymbolicDim) else None
    if text is None:
        return None
    return int(text) if text.isdecimal() else quotient


def _equal(a: _Item, b: _Item, sizes: Set[str]) -> int | None:
    """1 if they are equal, 0 if not, None if that is open."""
    if isinstance(a, int) and isinstance(b, int):
        return int(a == b)
    if isinstance(a, ir.SymbolicDim) and isinstance(b, ir.SymbolicDim):
        return 1 if a.value is not None and a.value == b.value else None
    number, symbol = (a, b) if isinstance(a, int) else (b, a)
    return 0 if isinstance(number, int) and number < 0 and _is_size(symbol, sizes) else None


def _is_size(item: _Item, sizes: Set[str], least: int = 0) -> bool:
    """Whether it is made of sizes, which are 1 or more, and never below a number."""
    text = item.value if isinstance(item, ir.SymbolicDim) else None
    if text is None or not set(symbols_of(text)) <= sizes:
        return False
    found = lower_bound(text)
    return found is not None and found >= least


def _chosen(condition: _Item, first: _Item, second: _Item) -> _Item | None:
    if isinstance(condition, int):
        return first if condition else second
    return None
