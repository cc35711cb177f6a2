"""Element-wise operators and activations: equal positions belong together, sizes of 1 broadcast."""

from __future__ import annotations

from onnxprune.axes.rule import Rule
from onnxprune.ops.broadcast import broadcast
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op


@rule(
    *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh"),
    *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    *("Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Dropout"),
    *("Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual"),
    *("HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less"),
    *("LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or"),
    *("PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign"),
    *("Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh"),
    *("ThresholdedRelu", "Where", "Xor"),
)
def elementwise(op: Op) -> Rule:
    """Every operand, aligned on the right, and every result share their axes."""
    if op.type == "CastLike":  # the second operand only tells the type
        operands, result = broadcast([op.shape(0)])
        operands.append(" ".join("~" * len(op.shape(1))))
    else:
        operands, result = broadcast(op.shapes())
    results = ", ".join([result] * len(op.node.outputs))
    return Rule(f"{', '.join(operands)} -> {results}", reason="a size that may be 1 at run time")
