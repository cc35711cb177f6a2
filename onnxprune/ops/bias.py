"""Where the biases of products stand: their own input, or a sum behind them."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.ops.linear import Linear

__all__ = ["bias_place", "input_of", "is_constant", "only_sum"]


def bias_place(
    dense: ir.Node, small: ir.Node, form: Linear
) -> tuple[tuple[ir.Node, int] | None, ir.Value, ir.Value]:
    """Where the bias is, and what is given with it, in the original and in the smaller model."""
    given, result = dense.outputs[0], small.outputs[0]
    if form.bias is not None:
        return (small, form.bias), given, result
    dense_sum, small_sum = only_sum(given), only_sum(result)
    if dense_sum is not None and small_sum is not None and dense_sum[0].name == small_sum[0].name:
        vector = small_sum[0].inputs[small_sum[1]]
        sizes = list(vector.shape or ()) if vector is not None and is_constant(vector) else []
        if sizes == list(input_of(small, form.weight).shape or ())[-1:] != [1]:
            return small_sum, dense_sum[0].outputs[0], small_sum[0].outputs[0]
    return None, given, result


def only_sum(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The one node that takes a value, if it adds something to it, and where that stands."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != "Add":
        return None
    node, producer = uses[0].node, value.producer()
    if producer is None or node.graph is not producer.graph:
        return None  # inside of a branch or a loop
    return node, 1 - uses[0].idx


def is_constant(value: ir.Value) -> bool:
    """Whether a value is a weight."""
    return value.const_value is not None


def input_of(node: ir.Node, slot: int) -> ir.Value:
    """An input that is there."""
    value = node.inputs[slot]
    assert value is not None
    return value
