"""Shapes of onnxruntime's own operators, by those of the ONNX operators that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxprune.graph.corrections import correct
from onnxprune.graph.nested import constant, integer

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext

__all__ = ["CONTRIBUTED", "contributed", "known"]

_OPSET = 21

_Sizes = Sequence[int | ir.SymbolicDim] | ir.Shape
_Rule = Callable[["ShapeInferenceContext", ir.Node], _Sizes | None]

CONTRIBUTED = "com.microsoft"
"""The domain of these operators."""


def contributed(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    """What is known here of the shape of a node's first result, which also gets its data type.

    Args:
        context: The run of the shape inference.
        node: A node of onnxruntime's domain.
    """
    rule = _RULES.get(node.op_type)
    if rule is None or any(value is not None and value.shape is None for value in node.inputs):
        return None
    sizes = rule(context, node)
    result, operand = node.outputs[0], node.inputs[0]
    if sizes is not None and operand is not None and node.op_type != "MurmurHash3":
        result.type = result.type or operand.type
    return sizes


def known(operator: str) -> bool:
    """Whether there is a rule for an operator of onnxruntime's domain here.

    Args:
        operator: Its name.
    """
    return operator in _RULES


def _as(
    context: ShapeInferenceContext,
    node: ir.Node,
    operator: str,
    inputs: Sequence[ir.Value | None],
    **attributes: int | Sequence[int],
) -> ir.Shape | None:
    """The shape of the result of another operator with the attributes of a node."""
    from onnx_shape_inference import registry

    domain, _, name = operator.rpartition("::")
    rule = registry.get(domain, name, 1 if domain else _OPSET)
    if rule is None:
        return None
    made = ir.convenience.convert_attributes(attributes)
    kept = [a for a in node.attributes.values() if a.name not in attributes]
    operands = [None if value is None else _copy(value, value.shape) for value in inputs]
    other = ir.Node(domain, name, operands, [*kept, *made], num_outputs=1)
    rule(context, other)
    correct(context, other)
    return other.outputs[0].shape


def _copy(value: ir.Value, shape: _Sizes | None) -> ir.Value:
    """A value of another shape that no graph knows of."""
    return ir.Value(
        name=value.name,
        type=value.type,
        shape=None if shape is None else ir.Shape(shape),
        const_value=value.const_value,
    )


def _sizes(node: ir.Node, i: int) -> ir.Shape:
    """The shape of an operand.

    Raises:
        ValueError: The node lacks the operand.
    """
    value = node.inputs[i] if i < len(node.inputs) else None
    if value is None or value.shape is None:
        raise ValueError(f"operand {i} is missing")
    return value.shape


def _numbers(node: ir.Node, i: int) -> list[int] | None:
    """The numbers of a constant operand; None if it is computed or missing."""
    value = node.inputs[i] if i < len(node.inputs) else None
    tensor = None if value is None else constant(value)
    return None if tensor is None else [int(number) for number in tensor.numpy().reshape(-1)]


def _alike(operator: str, count: int) -> _Rule:
    """The rule of an operator whose first operands are those of another one."""

    def rule(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
        return _as(context, node, operator, node.inputs[:count])

    return rule


def _like(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    return _sizes(node, 0)


def _turned(node: ir.Node, i: int, order: Sequence[int]) -> ir.Value:
    """An operand with its axes in another order, without its elements."""
    sizes = _sizes(node, i)
    return ir.Value(name=f"turned_{i}", shape=ir.Shape(sizes[axis] for axis in order))


def _channels_last(operator: str) -> _Rule:
    """The rule of an operator on images whose channels come last, as those of a weight may."""

    def rule(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
        channels, rank = _sizes(node, 0)[-1], len(_sizes(node, 0))
        first = [0, rank - 1, *range(1, rank - 1)]
        operands: list[ir.Value | None] = [_turned(node, 0, first)]
        if operator == "Conv":
            documented = _sizes(node, 1)[1] * (integer(node, "group") or 1) == channels
            operands.append(_turned(node, 1, range(rank) if documented else first))
        shape = _as(context, node, operator, operands)
        return None if shape is None else [shape[0], *shape[2:], shape[1]]

    return rule


def _product(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    operands = []
    for i, name in enumerate(("transBatchA", "transBatchB")):
        rank = len(_sizes(node, i))
        moved = rank > 2 and integer(node, name)
        operands.append(
            _turned(node, i, [*range(1, rank - 1), 0, rank - 1] if moved else range(rank))
        )
    return _as(context, node, f"{CONTRIBUTED}::FusedMatMul", operands)


def _transposed(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    pads = _numbers(node, 2)
    if pads is None and len(node.inputs) > 2 and node.inputs[2] is not None:
        return None
    return _as(context, node, "ConvTranspose", node.inputs[:2], **({"pads": pads} if pads else {}))


def _expanded(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    sizes, place = list(_sizes(node, 0)), _numbers(node, 1)
    if place is None:
        return None
    sizes.insert(place[0] % (len(sizes) + 1), 1)
    return sizes


def _cropped(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    spatial = _numbers(node, 3) or [context.new_symbolic_dim() for _ in range(2)]
    return [_sizes(node, 1)[0], _sizes(node, 0)[1], *spatial]


def _rows(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    return [_sizes(node, 0)[0], _sizes(node, 1)[0]]


def _padded(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
    sizes, amounts = _sizes(node, 0), _numbers(node, 1)
    if amounts is None:
        return None
    sums = (a + b for a, b in zip(amounts[: len(sizes)], amounts[len(sizes) :], strict=True))
    return [size + more if more else size for size, more in zip(sizes, sums, strict=True)]


def _pooled(operator: str) -> _Rule:
    """A pooling whose channels may stand last."""
    first, last = _alike(operator, 1), _channels_last(operator)

    def rule(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
        return (last if integer(node, "channels_last") else first)(context, node)

    return rule


def _typed(rule: _Rule, i: int, otherwise: ir.DataType = ir.DataType.UINT8) -> _Rule:
    """The result has the type of an operand, or another where that is missing."""

    def typed(context: ShapeInferenceContext, node: ir.Node) -> _Sizes | None:
        value = node.inputs[i] if i < len(node.inputs) else None
        dtype = otherwise if value is None else value.dtype
        if dtype is not None:
            node.outputs[0].type = ir.TensorType(dtype)
        return rule(context, node)

    return typed


_RULES: dict[str, _Rule] = {
    "BiasDropout": _like,
    "BitmaskBiasDropout": _like,
    "BitmaskDropout": _like,
    "CDist": _rows,
    "ConvTransposeWithDynamicPads": _transposed,
    "CropAndResize": _cropped,
    "DequantizeLinear": _typed(_like, 1),
    "DynamicQuantizeMatMul": _alike("MatMul", 2),
    "ExpandDims": _expanded,
    "FusedConv": _alike("Conv", 2),
    "FusedGemm": _alike("Gemm", 2),
    "FusedMatMul": _product,
    "FusedMatMulActivation": _product,
    "GatherND": _alike("GatherND", 2),
    "GridSample": _alike("GridSample", 2),
    "Inverse": _like,
    "MatMulIntegerToFloat": _typed(_alike("MatMul", 2), 2),
    "MaxpoolWithMask": _alike("MaxPool", 1),
    "MurmurHash3": _like,
    "NhwcConv": _channels_last("Conv"),
    "NhwcFusedConv": _channels_last("Conv"),
    "NhwcMaxPool": _channels_last("MaxPool"),
    "Pad": _padded,
    "QGemm": _typed(lambda context, node: node.outputs[0].shape, 8, ir.DataType.FLOAT),
    "QLinearAveragePool": _pooled("AveragePool"),
    "QLinearGlobalAveragePool": _pooled("GlobalAveragePool"),
    "QuantizeLinear": _typed(_like, 2),
    "Trilu": _like,
    "WordConvEmbedding": _rows,
}
