"""Operators that read or write entries at positions which are themselves tensors."""

from __future__ import annotations

import numpy as np

from onnxprune.axes.rule import Barred, Rule
from onnxprune.graph.dims import Dim
from onnxprune.ops.broadcast import names
from onnxprune.ops.patch import Kept, Patch, remaining
from onnxprune.ops.registry import patch, rule
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
    given = [*taken[:axis], "x", *taken[axis + 1 :]]
    read = ["_" if i in _alike(op) else name for i, name in enumerate(given)]
    return Rule(f"{' '.join(taken)}, {' '.join(read)} -> {' '.join(given)}", reason=_READ)


@rule("Scatter", "ScatterElements")
def scatter_elements(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__ScatterElements.html."""
    data, indices = op.shape(0), op.shape(1)
    axes = _beside(data, indices, op.attr("axis", 0) % len(data))
    text = " ".join(axes)
    read = " ".join("_" if i in _alike(op) else name for i, name in enumerate(axes))
    return Rule(f"{text}, {read}, {text} -> {text}", reason=_WRITTEN)


def _alike(op: Op) -> set[int]:
    """The axes along which constant indices do not differ, except the one they point into."""
    shape = op.shape(1)
    if not op.constant(1):
        return set()
    indices = np.array(op.ints(1), np.int64).reshape([dim.size for dim in shape])
    axes = set(range(len(shape))) - {op.attr("axis", 0) % len(shape)}
    return {axis for axis in axes if (indices == indices.take([0], axis)).all()}


@patch("GatherElements", "Scatter", "ScatterElements")
def elements_patch(op: Op, kept: Kept) -> Patch:
    """Constant indices lose what the data lose of axes along which they do not differ."""
    masks = {axis: mask for axis in _alike(op) if (mask := kept.input(0, axis)) is not None}
    if not masks:
        return Patch()
    indices = np.array(op.ints(1), np.int64).reshape([dim.size for dim in op.shape(1)])
    for axis, mask in masks.items():
        indices = indices.compress(mask, axis)
    return Patch(inputs={1: indices})


@rule("GatherND")
def gather_nd(op: Op) -> Rule | Barred:
    """https://onnx.ai/onnx/operators/onnx__GatherND.html; the last axis of indices says where."""
    data, indices = names(len(op.shape(0))), names(len(op.shape(1)), "x")
    batch = op.attr("batch_dims", 0)
    depth = op.shape(1)[-1]
    if depth.dynamic:
        return Barred("how many axes it reads is not known")
    places = _rows(op)
    if places is not None:
        rest = " ".join(data[1:])
        return Rule(
            f"{data[0]} {rest}, _ _ -> {data[0]}[i] {rest}",
            indices={"i": places},
            reason="it holds the indices to pick",
        )
    indices = [*data[:batch], *indices[batch:-1]]
    passed = data[batch + depth.size :]
    taken = [*data[:batch], *"_" * depth.size, *passed]
    return Rule(
        f"{' '.join(taken)}, {' '.join(indices)} _ -> {' '.join([*indices, *passed])}",
        reason=_READ,
    )


@patch("GatherND")
def gather_nd_patch(op: Op, kept: Kept) -> Patch:
    """Constant indices of rows are renumbered; those of removed rows are left out."""
    places, mask = _rows(op), kept.input(0, 0)
    if places is None or mask is None:
        return Patch()
    return Patch(inputs={1: remaining(places, mask).reshape(-1, 1)})


def _rows(op: Op) -> np.ndarray | None:
    """The indices of the first axis that a GatherND picks, as a Gather of constants would."""
    first, indices = op.shape(0)[0], op.shape(1)
    if not op.constant(1) or op.attr("batch_dims", 0) or first.dynamic:
        return None
    if len(indices) != 2 or indices[1].size != 1:
        return None
    return np.array(op.ints(1), np.int64) % first.size


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
