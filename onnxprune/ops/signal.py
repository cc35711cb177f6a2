"""Fourier transforms: along the signal everything depends on everything."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op

_REASON = "its result depends on the position of every entry of this axis"


@rule("DFT")
def dft(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__DFT.html; the axis is an attribute before opset 20."""
    given = [op.attr("axis", 1)] if op.version < 20 else op.ints(2) or [-2]
    axes = names(len(op.shape(0)))
    axes[given[0] % len(axes)] = axes[-1] = "_"
    text = " ".join(axes)
    return Rule(f"{text} -> {text}", reason=_REASON)


@rule("STFT")
def stft(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__STFT.html."""
    signal = " ".join("_" * (len(op.shape(0)) - 1))
    return Rule(f"n {signal} -> n _ _ _", reason=_REASON)
