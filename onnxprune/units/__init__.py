"""Units: which channels may go, and what ties them together."""

from onnxprune.units.channel import Channel
from onnxprune.units.find import find_units
from onnxprune.units.mutable import (
    BaseMutableChannel,
    SequentialMutableChannel,
    SimpleMutableChannel,
)
from onnxprune.units.unit import (
    UNIT_KINDS,
    L1MutableChannelUnit,
    MutableChannelUnit,
    SequentialMutableChannelUnit,
    unit_kind,
)
from onnxprune.units.units import Units

__all__ = [
    "UNIT_KINDS",
    "BaseMutableChannel",
    "Channel",
    "L1MutableChannelUnit",
    "MutableChannelUnit",
    "SequentialMutableChannel",
    "SequentialMutableChannelUnit",
    "SimpleMutableChannel",
    "Units",
    "find_units",
    "unit_kind",
]
