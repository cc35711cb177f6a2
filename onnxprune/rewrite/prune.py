"""The one call that makes a graph smaller."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from onnxprune.graph import Graph, Source, with_shapes
from onnxprune.graph.sweep import sweep
from onnxprune.rewrite.apply import apply
from onnxprune.rewrite.plan import plan
from onnxprune.rewrite.record import Pruning, pack, read_record, write_record
from onnxprune.units.units import Units
from onnxprune.version import __version__

__all__ = ["prune"]


def prune(units: Units) -> Graph:
    """Remove the channels that the units' current choices do not keep.

    Args:
        units: All units of a graph, with their choices.

    Returns:
        The smaller graph. Its weights are sliced when they are read, so the source's files must
        stay where they are until it is saved.

    Raises:
        ChoiceError: If the choices would leave nothing of some tensor.
    """
    planned = plan(units)
    model = apply(units.graph.model, planned)
    chosen = {
        unit.name: (unit.num_channels, pack(np.flatnonzero(unit.mask)))
        for unit in units.mutable
        if not unit.mask.all()
    }
    source = units.graph.source
    if chosen:
        pruning = Pruning(__version__, source.sha256, chosen)
        write_record(model, read_record(units.graph.model), pruning, planned.slices)
        source = Source(None, hashlib.sha256(msgspec.json.encode(pruning)).hexdigest())
    sweep(model)
    return with_shapes(model, source)
