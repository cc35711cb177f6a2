"""Operators that read or write entries at positions which are themselves tensors."""

from __future__ import annotations

from onnxprune.axes.rule import Barred, Rule
from onnxprune.graph.dims import Dim
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op

Shape = tuple[Dim, ...]

_READ = "it reads this axis at positions that it is given while the model runs"
_WRITTEN = "it writes to this axis at positions that it is given while the model runs"


def _beside(data: Shape, indices: Shape, axis: int) -> list[str]:
    """A name for each axis but one; ``_`` where the indices only reach a part of the axis."""
    pairs = zip(names(len(data)), data, indices, strict=True)
    return ["_" if i == axis or d != e else name for i, (name, d, e) in enumerate(pairs)]


@rule("GatherElements")
def gather_elements(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__GatherElements.html; the result is like the indices."""
    data, indices = op.shape(0), op.shape(1)
    axis = op.attr("axis", 0) % len(data)
    taken = _beside(data, indices, axis)
    given = " ".join([*taken[:axis], "x", *taken[axis + 1 :]])
    return Rule(f"{' '.join(taken)}, {given} -> {given}", reason=_READ)


@rule("Scatter", "ScatterElements")
def scatter_elements(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ScatterElements.html."""
    data, indices = op.shape(0), op.shape(1)
    text = " ".join(_beside(data, indices, op.attr("axis", 0) % len(data)))
    return Rule(f"{text}, {text}, {text} -> {text}", reason=_WRITTEN)


@rule("GatherND")
def gather_nd(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__GatherND.html; the last axis of indices says where."""
    data, indices = names(len(op.shape(0))), names(len(op.shape(1)), "x")
    batch = op.attr("batch_dims", 0)
    depth = op.shape(1)[-1]
    if depth.dynamic:
        return Barred("how many axes it reads is not known")
    indices = [*data[:batch], *indices[batch:-1]]
    passed = data[batch + depth.size :]
    taken = [*data[:batch], *"_" * depth.size, *passed]
    return Rule(
        f"{' '.join(taken)}, {' '.join(indices)} _ -> {' '.join([*indices, *passed])}",
        reason=_READ,
    )


@rule("ScatterND")
def scatter_nd(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__ScatterND.html; the last axis of indices says where."""
    data, depth = names(len(op.shape(0))), op.shape(1)[-1]
    if depth.dynamic:
        return Barred("how many axes it writes to is not known")
    text = " ".join([*"_" * depth.size, *data[depth.size :]])
    places = "_" * (len(op.shape(1)) - 1)
    updates = " ".join([*places, *data[depth.size :]])
    return Rule(f"{text}, {' '.join(places)} _, {updates} -> {text}", reason=_WRITTEN)


@rule("TensorScatter")
def tensor_scatter(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__TensorScatter.html."""
    axes = names(len(op.shape(0)))
    axes[op.attr("axis", -2) % len(axes)] = "_"
    text = " ".join(axes)
    return Rule(f"{text}, {text}, {axes[0]} -> {text}", reason=_WRITTEN)


@rule("OneHot")
def one_hot(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__OneHot.html."""
    taken = names(len(op.shape(0)))
    axis = op.attr("axis", -1) % (len(taken) + 1)
    return Rule(
        f"{' '.join(taken)} -> {' '.join([*taken[:axis], '_', *taken[axis:]])}",
        reason="an index is a position on this axis, and positions would change",
    )
