"""What a pruned file says of itself, in its metadata (prefix ``pkg.onnxprune.``).

A pruned model can so be recognised and explained, its choices applied to other copies of the
original (a state dict, say), and it can be pruned again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["Pruning", "Record", "prunings", "read_record", "recall", "write_record"]

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
        kept: Initializer -> axis -> the indices of the *original* tensor that are left; of axis 1
            of a grouped weight perhaps other ones for each index of axis 0, then a list of lists.
    """

    history: list[Pruning]
    kept: dict[str, dict[int, list[int] | list[list[int]]]]


def read_record(model: ir.Model) -> Record | None:
    """The record of a pruned model, None for a model that onnxprune never touched.

    A record that cannot be read, or does not fit the tensors, is treated as absent: metadata come
    from strangers.
    """
    try:
        text = model.metadata_props.get(f"{PREFIX}history")
        history = msgspec.json.decode(text or "[]", type=list[Pruning])
        kept = {
            name: axes
            for name, value in model.graph.initializers.items()
            if value.const_value is not None and (axes := _kept_of(value.const_value))
        }
    except (msgspec.MsgspecError, ValueError):
        return None
    return Record(history, kept) if history else None


def prunings(model: ir.Model) -> int:
    """How often a model says that it was pruned."""
    record = read_record(model)
    return 0 if record is None else len(record.history)


def write_record(
    model: ir.Model,
    before: Record | None,
    pruning: Pruning,
    slices: Mapping[str, Mapping[int, Ids]],
) -> None:
    """Write down a pruning in a model.

    Args:
        model: The pruned model, changed in place.
        before: The record of its source.
        pruning: The pruning.
        slices: Initializer -> axis -> the indices kept, counted in the source.
    """
    history = [*(before.history if before is not None else []), pruning]
    model.metadata_props[f"{PREFIX}history"] = msgspec.json.encode(history).decode()
    model.metadata_props[f"{PREFIX}version"] = pruning.version
    for name, axes in slices.items():
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None:
            continue
        kept = dict(before.kept.get(name, {}) if before is not None else {})
        for axis in {*axes, *kept}:
            kept[axis] = _composed(kept.get(axis), axes.get(axis), axes.get(0)).tolist()
        text = msgspec.json.encode({str(axis): pack(indices) for axis, indices in kept.items()})
        value.const_value.metadata_props[f"{PREFIX}kept"] = text.decode()


def _composed(before: list[int] | list[list[int]] | None, now: Ids | None, rows: Ids | None) -> Ids:
    """The original indices that two prunings leave of an axis; `rows` are those left of axis 0."""
    if before is None:
        assert now is not None
        return now
    original = np.array(before)
    if original.ndim == 2 and rows is not None:
        original = original[rows]
    if now is None:
        return original
    if original.ndim == now.ndim == 2:
        return np.take_along_axis(original, now, 1)
    return original[..., now]


def recall(units: Units, pruned: Graph) -> None:
    """Set the units' choices to what a pruned model says it kept of them.

    Args:
        units: The units of the original, or of any of the prunings between it and the pruned one.
        pruned: The pruned model.

    Raises:
        ChoiceError: If the model holds no record, was not pruned from this original, or does not
            say what it kept of some unit.
    """
    record, before = read_record(pruned.model), read_record(units.graph.model)
    if record is None:
        raise ChoiceError(
            f"{pruned.source}: it does not say what was pruned from it; give the choices "
            f"(--choices)."
        )
    later = record.history[len(before.history) if before is not None else 0 :]
    if not later or later[0].source_sha256 != units.graph.source.sha256:
        raise ChoiceError(
            f"{pruned.source}: it was not pruned from {units.graph.source}; give the model that "
            f"it was pruned from, or the choices (--choices)."
        )
    for unit in units.mutable:
        unit.current_choice = _recalled(unit, units.graph, record, before)


def _recalled(
    unit: MutableChannelUnit, graph: Graph, record: Record, before: Record | None
) -> npt.NDArray[np.bool_]:
    """The mask of a unit, by what is left of a weight that holds its channels."""
    channels = [place for place in unit.places() if place.blocks is None]
    if not channels:
        raise ChoiceError(
            f"The weights do not tell what was kept of '{unit.name}'; give the choices (--choices)."
        )
    # Equal vectors are one in the file, so others tell more surely.
    channel = min(channels, key=lambda c: len(graph.shape(c.tensor) or ()) == 1)
    name, axis = channel.tensor.name or "", channel.axis
    left = record.kept.get(name, {}).get(axis)
    if left is None:
        return np.ones(unit.num_channels, bool)
    held = before.kept.get(name, {}).get(axis) if before is not None else None
    kept = left if held is None else np.flatnonzero(np.isin(held, left))
    mask = np.asarray(np.isin(channel.positions, kept).any(axis=1))
    return mask if unit.groups is None else _completed(mask, unit.groups)


def _completed(mask: npt.NDArray[np.bool_], groups: Ids) -> npt.NDArray[np.bool_]:
    """Groups that are gone as a whole do not tell what they kept: any equal number will do."""
    counts = np.bincount(groups[mask], minlength=int(groups.max()) + 1)
    for group in np.flatnonzero(counts == 0):
        mask[np.flatnonzero(groups == group)[: counts.max()]] = True
    return mask


def _kept_of(tensor: ir.TensorProtocol) -> dict[int, list[int] | list[list[int]]]:
    """Axis -> the indices of the original that a tensor says it holds."""
    text = tensor.metadata_props.get(f"{PREFIX}kept", "{}")
    written = msgspec.json.decode(text, type=dict[str, str])
    axes = {int(axis): ranges for axis, ranges in written.items()}
    sizes = tensor.shape.numpy()
    if not all(0 <= axis < len(sizes) for axis in axes):
        raise ValueError("an axis that the tensor does not have")
    kept: dict[int, list[int] | list[list[int]]] = {}
    for axis, text in axes.items():
        rows = [unpack(ranges, sizes[axis]) for ranges in text.split(";")]
        if len(rows) not in (1, sizes[0]) or any(len(row) != sizes[axis] for row in rows):
            raise ValueError("another number of indices than the tensor has")
        kept[axis] = rows if ";" in text else rows[0]
    return kept


def pack(indices: list[int] | list[list[int]] | Ids) -> str:
    """Increasing indices as half-open ranges, rows of them with semicolons between.

    Example::

        >>> pack([0, 1, 2, 3, 6])
        '0:4,6'
    """
    array = np.asarray(indices, np.int64)
    if array.ndim == 2:
        return ";".join(pack(row) for row in array)
    if not len(array):
        return ""
    breaks = np.flatnonzero(np.diff(array) != 1)
    firsts = array[np.concatenate([[0], breaks + 1])].tolist()
    lasts = array[np.concatenate([breaks, [len(array) - 1]])].tolist()
    runs = zip(firsts, lasts, strict=True)
    return ",".join(f"{a}:{b + 1}" if b > a else f"{a}" for a, b in runs)


def unpack(ranges: str, most: int) -> list[int]:
    """The reverse of `pack`.

    Raises:
        ValueError: If the text holds anything but increasing ranges of at most `most` indices.
    """
    indices: list[int] = []
    for part in filter(None, ranges.split(",")):
        start, colon, end = part.partition(":")
        first, after = int(start), int(end) if colon else int(start) + 1
        last = indices[-1] if indices else -1
        if not last < first < after <= min(first + most - len(indices), 1 << 40):
            raise ValueError("too many indices, or not in order")
        indices += range(first, after)
    return indices
