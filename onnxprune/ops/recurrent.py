"""Recurrent layers. Both directions have one set of hidden channels; steps and gates stay whole."""

from __future__ import annotations

import math

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op

_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


@rule("LSTM")
def lstm(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__LSTM.html; four gates, and three see the cell."""
    return _recurrent(op, "(4 h)", "(8 h)", states=2, peephole="(3 h)")


@rule("GRU")
def gru(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__GRU.html; the order of its products changes nothing."""
    return _recurrent(op, "(3 h)", "(6 h)", states=1)


@rule("RNN")
def rnn(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__RNN.html."""
    return _recurrent(op, "h", "(2 h)", states=1)


def _recurrent(op: Op, gates: str, bias: str, states: int, peephole: str = "") -> Rule | Barred:
    """Activations and clipping work on each hidden channel by itself, whatever they are.

    Args:
        op: The node.
        gates: The rows of its weights.
        bias: The biases of the input and of the state, for every gate.
        states: How many tensors are its state.
        peephole: The weights from its cell to its gates.
    """
    d, layout = _DIRECTIONS.get(op.attr("direction", "forward")), op.attr("layout", 0)
    if d is None or layout not in (0, 1):
        return Barred("its direction or its layout is not one that is known")
    given, sequence, state = (
        ("b _ i", f"b _ {d} h", f"b {d} h") if layout else ("_ b i", f"_ {d} b h", f"{d} b h")
    )
    weights = [f"{d} {gates} i", f"{d} {gates} h", f"{d} {bias}"]
    operands = [given, *weights, "b", *[state] * states]
    operands += [f"{d} {peephole}"] if peephole else []
    return Rule(
        f"{', '.join(operands)} -> {', '.join([sequence, *[state] * states])}",
        attributes={"hidden_size": "h"} if "hidden_size" in op.node.attributes else {},
        roles={"h": "hidden"},
        reason="its steps, directions and gates differ from each other",
    )


@macs("LSTM", "GRU", "RNN")
def recurrent_macs(op: Op) -> int:
    """At every step both weights are multiplied, one by the input and one by the state."""
    steps = math.prod(dim.size for dim in op.shape(0)[:2])
    return steps * sum(math.prod(dim.size for dim in op.shape(i)) for i in (1, 2))
