"""Units from configs, and configs from units: the form of MMRazor's ``ChannelMutator``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from onnxprune.errors import ChoiceError
from onnxprune.units.channel import Channel
from onnxprune.units.unit import MutableChannelUnit
from onnxprune.units.units import Units

__all__ = ["UnitConfig", "config_of", "match", "parse_config", "remade", "unit_from_config"]

Kind = TypeVar("Kind", bound=MutableChannelUnit)

SIDES = ("output_related", "input_related")


class ChannelConfig(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One channel: the module and the indices of its inputs or outputs.

    Attributes:
        name: The module.
        start: The first index; not asked for if None.
        end: The index after the last; not asked for if None.
        is_output_channel: Which side it is on; follows from the list if None.
        expand_ratio: How many indices each channel has; not asked for if None.
    """

    name: str
    start: int | None = None
    end: int | None = None
    is_output_channel: bool | None = None
    expand_ratio: int | None = None

    def fits(self, channel: Channel) -> bool:
        """Whether this is that channel of a graph."""
        start, end = channel.index
        return (
            self.name == channel.name
            and self.start in (None, start)
            and self.end in (None, end)
            and self.expand_ratio in (None, channel.expand_ratio)
        )

    def __str__(self) -> str:
        known = self.start is not None or self.end is not None
        return f"{self.name}[{self.start or 0}:{self.end or ''}]" if known else self.name


class ChannelsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Where a unit's channels are produced and consumed."""

    output_related: list[ChannelConfig] = []
    input_related: list[ChannelConfig] = []


class UnitConfig(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One unit.

    Attributes:
        init_args: What it is made with; ``num_channels`` among it.
        channels: All places where its channels stand; None where the unit's name tells.
        choice: What it keeps: a count, a ratio, a mask or indices.
    """

    init_args: dict[str, Any] = {}
    channels: ChannelsConfig | None = None
    choice: int | float | list[bool | int] | None = None


def parse_config(config: Mapping[str, Any] | UnitConfig, where: str = "The config") -> UnitConfig:
    """A unit's config out of a dict.

    Raises:
        ChoiceError: If it is not of that form.
    """
    if isinstance(config, UnitConfig):
        return config
    try:
        return msgspec.convert(config, UnitConfig)
    except msgspec.ValidationError as error:
        raise ChoiceError(
            f"{where} of a unit is malformed ({error}); it looks like {{'init_args': "
            f"{{'num_channels': 8}}, 'channels': {{'input_related': [{{'name': 'conv1'}}], "
            f"'output_related': [{{'name': 'conv0'}}]}}, 'choice': 8}}."
        ) from None


def config_of(
    unit: MutableChannelUnit, with_init_args: bool = False, with_channels: bool = False
) -> dict[str, Any]:
    """The config that a unit can be made of again.

    Args:
        unit: The unit.
        with_init_args: Whether it says what the unit was made with.
        with_channels: Whether it says where the channels stand.

    Returns:
        The config; the choice is the indices kept where they are not those that the count keeps.
    """
    config: dict[str, Any] = {}
    if with_init_args:
        config["init_args"] = unit.init_args()
    if with_channels:
        config["channels"] = {
            side: [_channel(channel) for channel in getattr(unit, side)] for side in reversed(SIDES)
        }
    chosen = unit.current_choice
    told = unit.mask.all() or (unit.mask == unit.mask_of(chosen)).all()
    config["choice"] = chosen if told else np.flatnonzero(unit.mask).tolist()
    return config


def _channel(channel: Channel) -> dict[str, Any]:
    start, end = channel.index
    found: dict[str, Any] = {"name": channel.name, "start": start, "end": end}
    found["is_output_channel"] = channel.is_output_channel
    if channel.expand_ratio != 1:
        found["expand_ratio"] = channel.expand_ratio
    return found


def unit_from_config(kind: type[Kind], units: Units, config: Mapping[str, Any]) -> Kind:
    """The unit that a config describes, as a unit of some kind, with its choice.

    Raises:
        ChoiceError: If the config does not fit the model, see `match`.
    """
    parsed = parse_config(config)
    unit = remade(match(units, parsed), kind, parsed)
    units.replace(unit)
    return unit


def remade(unit: MutableChannelUnit, kind: type[Kind], config: UnitConfig) -> Kind:
    """A unit as one of another kind, made and chosen as a config says."""
    arguments = {k: v for k, v in config.init_args.items() if k != "num_channels"}
    made = kind.of(unit.found, **arguments)
    if config.choice is not None and config.choice != made.current_choice:
        made.current_choice = config.choice
    return made


def match(units: Units, config: UnitConfig) -> MutableChannelUnit:
    """The unit that a config describes: it must name all places where the channels stand.

    Raises:
        ChoiceError: If it names a module that does not exist, describes no unit, or leaves out
            places that depend on those that it names.
    """
    if config.channels is None or not any(getattr(config.channels, side) for side in SIDES):
        raise ChoiceError("The config of a unit lists no channels.")
    size = config.init_args.get("num_channels")
    listed = {side: getattr(config.channels, side) for side in SIDES}
    _check_names(units, listed)
    sized = [unit for unit in units if size in (None, unit.num_channels)]
    first_side = next(side for side in SIDES if listed[side])
    first = listed[first_side][0]
    holding = [u for u in sized if any(first.fits(c) for c in getattr(u, first_side))]
    if not holding:
        raise ChoiceError(_no_such_unit(units, first, first_side, size))
    unit = min(holding, key=lambda unit: _misfits(unit, listed))
    wrong = [
        f"{entry} ({side})"
        for side in SIDES
        for entry in listed[side]
        if not any(entry.fits(channel) for channel in getattr(unit, side))
    ]
    if wrong:
        raise ChoiceError(
            f"{', '.join(wrong)} does not depend on {first} (those that do are the unit "
            f"'{unit.name}'); give each unit a config of its own."
        )
    missing = [
        f"{channel.name}[{channel.index[0]}:{channel.index[1]}] ({side})"
        for side in SIDES
        for channel in getattr(unit, side)
        if not any(entry.fits(channel) for entry in listed[side])
    ]
    if missing:
        raise ChoiceError(
            f"The config of the unit '{unit.name}' is incomplete: {', '.join(missing)} "
            f"{'depend' if len(missing) > 1 else 'depends'} on the same channels; add "
            f"{'them' if len(missing) > 1 else 'it'}."
        )
    return unit


def _misfits(unit: MutableChannelUnit, listed: Mapping[str, Sequence[ChannelConfig]]) -> int:
    """How many places a config and a unit do not share."""
    count = 0
    for side in SIDES:
        channels = getattr(unit, side)
        count += sum(not any(e.fits(c) for c in channels) for e in listed[side])
        count += sum(not any(e.fits(c) for e in listed[side]) for c in channels)
    return count


def _check_names(units: Units, listed: Mapping[str, Sequence[ChannelConfig]]) -> None:
    known = dict.fromkeys(
        channel.name for unit in units for side in SIDES for channel in getattr(unit, side)
    )
    for side in SIDES:
        for entry in listed[side]:
            if entry.name not in known:
                near = difflib.get_close_matches(entry.name, known, 3, 0.3)
                hint = f"; near are: {', '.join(near)}" if near else ""
                raise ChoiceError(f"The model has no module '{entry.name}'{hint}.")
            if entry.is_output_channel not in (None, side == "output_related"):
                raise ChoiceError(
                    f"{entry} is listed in {side}, and its is_output_channel says otherwise."
                )


def _no_such_unit(units: Units, first: ChannelConfig, side: str, size: int | None) -> str:
    there = [
        f"{channel.name}[{channel.index[0]}:{channel.index[1]}] of '{unit.name}'"
        for unit in units
        for channel in getattr(unit, side)
        if channel.name == first.name
    ]
    other = "consumes" if side == "input_related" else "produces"
    known = f"it {other} {', '.join(there)}" if there else f"it {other} no channels of any unit"
    return f"No unit of {size or 'any number of'} channels has {first} in its {side}: {known}."
