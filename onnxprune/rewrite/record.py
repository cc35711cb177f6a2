"""What a pruned file says of itself, in its metadata (prefix ``pkg.onnxprune.``).

A pruned model can so be recognised and explained, its choices applied to other copies of the
original (a state dict, say), and it can be pruned again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph
from onnxprune.units import Units

__all__ = ["Pruning", "Record", "read_record", "recall", "write_record"]

PREFIX = "pkg.onnxprune."


class Pruning(msgspec.Struct, frozen=True):
    """One pruning of a model.

    Attributes:
        version: The version of onnxprune.
        source_sha256: The hash of the model that was pruned.
        units: Unit -> (its number of channels, the indices kept, as in ``0:4,6``).
    """

    version: str
    source_sha256: str
    units: dict[str, tuple[int, str]]


class Record(msgspec.Struct, frozen=True):
    """All that a pruned model says of itself.

    Attributes:
        history: Its prunings, the first one first.
        kept: Initializer -> axis -> the indices of the *original* tensor that are left.
    """

    history: list[Pruning]
    kept: dict[str, dict[int, list[int]]]


def read_record(model: ir.Model) -> Record | None:
    """The record of a pruned model, None for a model that onnxprune never touched.

    A record that cannot be read is treated as absent: metadata come from strangers.
    """
    try:
        text = model.metadata_props.get(f"{PREFIX}history")
        if text is None:
            return None
        history = msgspec.json.decode(text, type=list[Pruning])
        kept = {
            name: {int(axis): unpack(ranges) for axis, ranges in axes.items()}
            for name, value in model.graph.initializers.items()
            if (axes := _kept_of(value)) is not None
        }
    except (msgspec.MsgspecError, ValueError):
        return None
    return Record(history, kept)


def write_record(
    model: ir.Model, pruning: Pruning, slices: Mapping[str, Mapping[int, Ids]]
) -> None:
    """Add a pruning to a model's record.

    Args:
        model: The pruned model, changed in place; the record of its source is still on it.
        pruning: The pruning.
        slices: Initializer -> axis -> the indices kept, counted in the source.
    """
    before = read_record(model)
    history = [*(before.history if before is not None else []), pruning]
    model.metadata_props[f"{PREFIX}history"] = msgspec.json.encode(history).decode()
    model.metadata_props[f"{PREFIX}version"] = pruning.version
    for name, axes in slices.items():
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None:
            continue
        kept = dict(before.kept.get(name, {}) if before is not None else {})
        for axis, indices in axes.items():
            original = np.array(kept[axis]) if axis in kept else None
            kept[axis] = (indices if original is None else original[indices]).tolist()
        text = msgspec.json.encode({str(axis): pack(indices) for axis, indices in kept.items()})
        value.const_value.metadata_props[f"{PREFIX}kept"] = text.decode()


def recall(units: Units, pruned: Graph) -> None:
    """Set the units' choices to what a pruned model says it kept of them.

    Args:
        units: The units of the original.
        pruned: The pruned model.

    Raises:
        ChoiceError: If the model holds no record, or was not pruned from this original.
    """
    record = read_record(pruned.model)
    if record is None:
        raise ChoiceError(
            f"{pruned.source}: it does not say what was pruned from it; give the choices."
        )
    if record.history[0].source_sha256 != units.graph.source.sha256:
        raise ChoiceError(f"{pruned.source}: it was not pruned from {units.graph.source}.")
    for unit in units.mutable:
        channel = (unit.output_related or unit.input_related)[0]
        kept = record.kept.get(channel.tensor.name or "", {}).get(channel.axis)
        if kept is None:
            unit.current_choice = unit.num_channels
        else:
            unit.current_choice = np.asarray(np.isin(channel.positions, kept).any(axis=1))


def _kept_of(value: ir.Value) -> dict[str, str] | None:
    tensor = value.const_value
    text = None if tensor is None else tensor.metadata_props.get(f"{PREFIX}kept")
    return None if text is None else msgspec.json.decode(text, type=dict[str, str])


def pack(indices: list[int] | Ids) -> str:
    """Increasing indices as half-open ranges.

    Example::

        >>> pack([0, 1, 2, 3, 6])
        '0:4,6'
    """
    array = np.asarray(indices, np.int64)
    runs = np.split(array, np.flatnonzero(np.diff(array) != 1) + 1) if len(array) else []
    return ",".join(f"{r[0]}:{r[-1] + 1}" if len(r) > 1 else f"{r[0]}" for r in runs)


def unpack(ranges: str) -> list[int]:
    """The reverse of `pack`.

    Raises:
        ValueError: If the text holds anything but ranges of up to 2^24 indices.
    """
    indices: list[int] = []
    for part in filter(None, ranges.split(",")):
        start, _, end = part.partition(":")
        run = range(int(start), int(end) if end else int(start) + 1)
        if len(run) + len(indices) > 1 << 24:
            raise ValueError("too many indices")
        indices += run
    return indices
