"""What a model says of a unit, before it is one of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxprune.axes.atoms import Ids
from onnxprune.axes.labels import Barrier, Labels
from onnxprune.units.channel import Channel
from onnxprune.units.mutable import BaseMutableChannel

__all__ = ["Found"]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a model says of a unit.

    Attributes:
        name: ``{module}_({start}, {end})_{num_channels}`` of the first producer; unique.
        atoms: (num_channels,) the atom of each channel; empty for a model that is not labelled.
        output_related: Where the channels are produced, or passed through.
        input_related: Where the channels are consumed, or passed through.
        barrier: Why the unit must stay whole, None for one that may lose channels.
        groups: (num_channels,) the group of each channel where every group must keep equally many
            (grouped convolutions), else None.
        role: What the channels are, of `onnxprune.axes.rule.ROLES`.
        labels: The labels of the graph, None for a model that is not labelled.
        mutable_channel: Holds the choice already, in a model that was defined with it.
    """

    name: str
    atoms: Ids
    output_related: Sequence[Channel] = ()
    input_related: Sequence[Channel] = ()
    barrier: Barrier | None = None
    groups: Ids | None = None
    role: str = "channel"
    labels: Labels | None = None
    mutable_channel: BaseMutableChannel | None = None
