"""Compute what can be computed from constants: weights that pass through operators, and shapes.

Exporters leave work to the runtime that hides weights from an analysis: an LSTM's gates are
reordered with Slice and Concat, a weight is transposed, a Reshape's target is put together from
the result of Shape. What is known before any input is fed becomes an initializer here.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from math import prod

import onnx_ir as ir

from onnxprune.graph import shapes
from onnxprune.graph.declared import declared_shapes
from onnxprune.graph.names import value_names
from onnxprune.graph.picks import pick_from_parts
from onnxprune.graph.sequences import hidden_splits
from onnxprune.graph.sweep import release_lost

__all__ = ["FOLDED", "RANDOM", "fold"]

logger = logging.getLogger(__name__)

_FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"

FOLDED = "onnxprune.folded"
"""Key of ``Value.meta``: the initializer bears a weight's name and holds other data than it did."""

_LARGEST_RESULT = 1 << 24
"""Elements that a folded tensor may have at most. Larger weights stay mapped, and their node."""

_LARGEST_SUM = 1 << 27
"""Elements that all folded tensors of a model may have together, since they live in memory."""

_MOST_GROWTH = 1 << 8
"""Elements that a folded tensor may have more than the constants that it makes superfluous.

A shape may grow out of nothing; tables that are computed from a range stay computed.
"""

_MOST_WORK = 1 << 16
"""Elements that may go into and come out of an operator that is not cheap per element."""

RANDOM = frozenset(
    {"RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike"}
    | {"Multinomial", "Bernoulli"}
)
"""What draws numbers, another time others."""

_KEPT = RANDOM | {
    *("Dropout", "ConstantOfShape"),
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
}
"""Not folded: results that differ between runs, or say more than the tensor they would become."""

# fmt: off
_MOVING = {
    "Cast", "CastLike", "Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Pad", "Range", "Reshape", "ScatterND", "Shape", "Size", "Slice", "Squeeze",
    "Tile", "Transpose", "Trilu", "Unsqueeze", "Where",
}
_ELEMENT_WISE = {
    "Abs", "Add", "And", "Ceil", "Clip", "Cos", "Div", "Equal", "Exp", "Floor", "Greater",
    "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul",
    "Neg", "Not", "Or", "Pow", "Reciprocal", "Round", "Rsqrt", "Sign", "Sin", "Sqrt", "Sub",
    "Sum", "Xor",
}
_REDUCING = {
    "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare",
}
# fmt: on
_CHEAP = frozenset(_MOVING | _ELEMENT_WISE | _REDUCING)
"""Operators whose cost is that of touching each element a few times."""


_MEASURING = frozenset({"Shape", "Size"})
"""Operators that read the shape of a tensor and not its elements."""


def fold(model: ir.Model, untouched: Set[str] = frozenset()) -> ir.Model:
    """Replace nodes that compute weights or shapes from constants by initializers.

    A result that comes from one weight and nothing but it takes over the weight's name if that
    is free, so that reports speak of the weights that the user knows. It is marked ``FOLDED``,
    because a transposed weight, say, is not what the user's framework has under that name.

    Args:
        model: A model whose nodes are in topological order and have unique names.
        untouched: Initializers that stay as they are, with what depends on their elements.

    Returns:
        The folded model: another object, or ``model`` itself when folding met something that it
        cannot digest.
    """
    from onnxscript.optimizer import fold_constants

    attempt = model.clone()
    weights = {
        name
        for name, value in attempt.graph.initializers.items()
        if value.const_value is not None
        and value.const_value.dtype.is_floating_point()
        and value.const_value.size > 1
    }
    try:
        with declared_shapes(attempt, trusting=False):
            shapes.propagate(attempt)
            if not untouched:
                pick_from_parts(attempt)
            with hidden_splits(attempt):
                fold_constants(
                    attempt,
                    input_size_limit=_LARGEST_RESULT,
                    output_size_limit=_LARGEST_SUM,
                    should_fold=_Policy(untouched),
                )
            shapes.forget(attempt)
            release_lost(attempt)
    except Exception as error:
        logger.warning("constants are left unfolded: %s: %s", type(error).__name__, error)
        return model
    _restore_names(attempt, weights)
    return attempt


class _Policy:
    """Decides before anything is computed: an untrusted model may ask for any size."""

    def __init__(self, untouched: Set[str] = frozenset()) -> None:
        self._left = _LARGEST_SUM
        self._untouched = untouched

    def __call__(self, node: ir.Node) -> bool | None:
        """Return False if a node must not be folded, None if it may, True if it must."""
        if _fills_small_integers(node):
            return True
        if node.op_type in _KEPT or node.domain != "" or len(node.outputs) != 1:
            return False
        given = [value for value in node.inputs if value is not None]
        if node.op_type not in _MEASURING and any(v.name in self._untouched for v in given):
            return False
        if any(value.const_value is None for value in given):
            return None
        output = node.outputs[0]
        if output.is_graph_output() or output.shape is None or not output.shape.is_static():
            return False
        size = prod(output.shape.numpy())
        # Four slices of one weight make it superfluous together, each a quarter of it.
        freed = sum(_size(value) // max(1, len(value.uses())) for value in given)
        if size > min(_LARGEST_RESULT, self._left, freed + _MOST_GROWTH):
            return False
        if node.op_type not in _CHEAP and size + sum(map(_size, given)) > _MOST_WORK:
            return False
        if node.op_type in ("Cast", "CastLike") and size > _MOST_GROWTH and _widens(node):
            return False
        self._left -= size
        return None


def _fills_small_integers(node: ir.Node) -> bool:
    """Whether a ConstantOfShape makes a few integers: amounts of padding, a target of -1."""
    if node.op_type != "ConstantOfShape" or node.domain != "" or len(node.inputs) != 1:
        return False
    shape, output = node.inputs[0], node.outputs[0]
    if shape is None or shape.const_value is None or output.is_graph_output():
        return False
    if output.dtype is None or not output.dtype.is_integer() or output.shape is None:
        return False
    return output.shape.is_static() and prod(output.shape.numpy()) <= _MOST_GROWTH


def _size(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0


def _widens(node: ir.Node) -> bool:
    """Tell whether a Cast stands for weights that are stored in less space than they are used."""
    source, target = node.inputs[0], node.outputs[0].dtype
    if source is None or source.dtype is None or target is None:
        return True
    return target.bitwidth > source.dtype.bitwidth


def _restore_names(model: ir.Model, weights: set[str]) -> None:
    graph = model.graph
    taken = set(value_names(model))
    for value in shapes.all_values(model):
        value.metadata_props.pop(_FOLDED_FROM, None)
    for value in list(graph.initializers.values()):
        origins = weights & value.meta.pop(_FOLDED_FROM, set())
        if len(origins) == 1 and value.name not in weights:
            origin = origins.pop()
            if origin not in taken:
                taken.add(origin)
                value.name = origin
                value.meta[FOLDED] = True
