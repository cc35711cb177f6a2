"""Element-wise operators and activations: equal positions belong together, sizes of 1 broadcast."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.broadcast import broadcast, names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule(
    *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh"),
    *("BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    *("Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div"),
    *("Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual"),
    *("HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less"),
    *("LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or"),
    *("PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign"),
    *("Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "SwiGLU", "Swish", "Tan"),
    *("Tanh", "ThresholdedRelu", "Where", "Xor"),
)
def elementwise(op: Op) -> Rule:
    """Every operand, aligned on the right, and the result share their axes."""
    operands, result = broadcast(op.shapes())
    return Rule(
        f"{', '.join(operands)} -> {result}", reason="one of its sizes may be 1 at run time"
    )


@rule("CastLike")
def cast_like(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__CastLike.html; the other only tells the type."""
    axes = " ".join(names(len(op.shape(0))))
    return Rule(f"{axes}, {' '.join('~' * len(op.shape(1)))} -> {axes}")


@rule("Dropout")
def dropout(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__Dropout.html; the second result is the mask."""
    if op.has(2) and op.ints(2) != [0]:
        return Barred("it runs in training mode, where it drops entries at random")
    axes = " ".join(names(len(op.shape(0))))
    return Rule(f"{axes} -> {', '.join([axes] * len(op.node.outputs))}")
