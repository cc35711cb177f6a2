"""Models in which removed channels are copies of those that stay, so that nothing need be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from helpers import Arrays, feeds_of, run, to_proto

from onnxprune.calibration import Calibration
from onnxprune.graph import Graph, load
from onnxprune.refit import Options, Refit, refit
from onnxprune.rewrite import plan, prune
from onnxprune.units import MutableChannelUnit, Units, find_units

EXACT = 1e-6
"""A ridge as small as the digits of float32 allow."""

Kept = Mapping[str, Sequence[int]]
"""A unit, or a weight that makes its channels -> which of them stay."""


def calibration(model: onnx.ModelProto, samples: int = 48, batch: int = 16) -> Calibration:
    """Random inputs; of batch 1 where the model takes no more."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    size = first.dim_value or batch
    batches = [feeds_of(model, size, seed=100 + i) for i in range(samples // size)]
    return Calibration(lambda: batches, samples, "random numbers")


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights of a model by name, to be changed."""
    return {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}


def with_weights(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of a model with other weights."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
    return copy


def unit_of(units: Units, producer: str) -> MutableChannelUnit:
    """The unit of a name, or the first one whose channels a weight of that name makes."""
    return next(
        unit
        for unit in units.mutable
        if producer == unit.name
        or any(channel.tensor.name == producer for channel in unit.output_related)
    )


def keep(units: Units, producer: str, kept: Sequence[int]) -> MutableChannelUnit:
    """Choose what stays of the unit whose channels a weight makes."""
    unit = unit_of(units, producer)
    mask = np.zeros(unit.num_channels, bool)
    mask[list(kept)] = True
    unit.current_choice = mask
    return unit


def chosen(model: onnx.ModelProto, kept: Kept) -> Units:
    """The units of a model with choices."""
    units = find_units(load(model))
    for producer, indices in kept.items():
        keep(units, producer, indices)
    return units


def with_copies(model: onnx.ModelProto, producer: str, kept: Sequence[int]) -> onnx.ModelProto:
    """A model whose other channels of a unit do what one of those that stay does.

    All that makes or hands through a channel is copied: rows of weights, biases, scales. What
    takes it stays as it is.
    """
    units = chosen(model, {producer: kept})
    unit = unit_of(units, producer)
    sources = np.resize(kept, unit.num_channels)
    if unit.groups is not None:
        for group in np.unique(unit.groups):
            own = np.flatnonzero(unit.groups == group)
            sources[own] = np.resize(np.intersect1d(own, kept), len(own))
    sources[list(kept)] = kept
    made = {(channel.tensor.name, channel.axis) for channel in unit.output_related}
    taken = {
        (channel.tensor.name, channel.axis)
        for channel in unit.input_related
        if len(channel.tensor.shape or ()) > 1
    }
    arrays = weights(model)
    for name, axes in plan(units).slices.items():
        for axis in axes:
            if (name, axis) in taken - made:
                continue
            rows = np.moveaxis(arrays[name], axis, 0)
            rows = rows.reshape(len(sources), -1, *rows.shape[1:])  # of a group several
            rows[:] = rows[sources]
    return with_weights(model, arrays)


def refitted(model: onnx.ModelProto, kept: Kept, **options: object) -> tuple[Units, Graph, Refit]:
    """A model pruned to what is kept of some units, and that refitted."""
    units = chosen(model, kept)
    small = prune(units)
    inputs = calibration(model)
    return units, small, refit(units, small, inputs, Options(**{"ridge": EXACT, **options}))


def answers(graph: Graph, seed: int = 1) -> Arrays:
    """What a graph answers to inputs that it was not calibrated with."""
    model = to_proto(graph)
    return run(model, feeds_of(model, 5, seed))


def error(found: Graph, wanted: Graph) -> float:
    """The largest difference of two graphs' answers, as a part of the largest answer."""
    one, other = answers(found), answers(wanted)
    assert one.keys() == other.keys()
    return max(
        float(np.abs(one[name].astype(float) - other[name]).max() / np.abs(other[name]).max())
        for name in one
    )
