"""Units that an ONNX file carries in its metadata (``pkg.onnxprune.units``)."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph, with_shapes
from onnxprune.units.config import UnitConfig, config_of, match, remade
from onnxprune.units.unit import MutableChannelUnit
from onnxprune.units.units import Units

__all__ = ["units_in_metadata", "with_units"]

KEY = "pkg.onnxprune.units"

Kind = TypeVar("Kind", bound=MutableChannelUnit)


def with_units(units: Units) -> Graph:
    """A copy of a graph that carries its mutable units, what they were made with and their choices.

    Args:
        units: All units of the graph.

    Returns:
        The copy, to be saved.
    """
    model = units.graph.model.clone()
    configs = {u.name: config_of(u, with_init_args=True, with_channels=True) for u in units.mutable}
    model.metadata_props[KEY] = msgspec.json.encode(configs).decode()
    return with_shapes(model, units.graph.source)


def units_in_metadata(kind: type[Kind], units: Units) -> Units:
    """The units of a graph, those that its file carries as they were made and chosen.

    Args:
        kind: What kind of units to make of them.
        units: The units of the graph; the carried ones take their places.

    Raises:
        ChoiceError: If it carries none, or some that the graph does not have.
    """
    where = units.graph.source
    text = units.graph.model.metadata_props.get(KEY)
    if text is None:
        raise ChoiceError(
            f"{where}: it carries no units; init_from_graph finds those of any model."
        )
    try:
        configs = msgspec.json.decode(text, type=dict[str, UnitConfig])
    except msgspec.MsgspecError as error:
        raise ChoiceError(f"{where}: the units that it carries are malformed ({error}).") from None
    for name, config in configs.items():
        try:
            units.replace(remade(match(units, config), kind, config))
        except ChoiceError as error:
            raise ChoiceError(f"{where}: the unit '{name}' that it carries: {error}") from error
    return units
