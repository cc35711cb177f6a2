"""Units: which channels may go, and what ties them together."""

from onnxprune.units.channel import Channel
from onnxprune.units.counts import make_divisible
from onnxprune.units.find import find_units
from onnxprune.units.found import Found
from onnxprune.units.kinds import (
    L1MutableChannelUnit,
    OneShotMutableChannelUnit,
    SequentialMutableChannelUnit,
    SlimmableChannelUnit,
)
from onnxprune.units.metadata import with_units
from onnxprune.units.mutable import (
    BaseMutableChannel,
    DerivedMutableChannel,
    OneShotMutableChannel,
    SequentialMutableChannel,
    SimpleMutableChannel,
    SquentialMutableChannel,
    concatenate,
)
from onnxprune.units.places import Place
from onnxprune.units.unit import UNIT_KINDS, MutableChannelUnit, unit_kind
from onnxprune.units.units import Units

__all__ = [
    "UNIT_KINDS",
    "BaseMutableChannel",
    "Channel",
    "DerivedMutableChannel",
    "Found",
    "L1MutableChannelUnit",
    "MutableChannelUnit",
    "OneShotMutableChannel",
    "OneShotMutableChannelUnit",
    "Place",
    "SequentialMutableChannel",
    "SequentialMutableChannelUnit",
    "SimpleMutableChannel",
    "SlimmableChannelUnit",
    "SquentialMutableChannel",
    "Units",
    "concatenate",
    "find_units",
    "make_divisible",
    "unit_kind",
    "with_units",
]
