"""The choices for a whole model, as data and as a file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from onnxprune.errors import ChoiceError
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["Choice", "Choices", "read_choices"]

Mask = npt.NDArray[np.bool_]

SCHEMA = "onnxprune.choices/1"

Choice = int | float | list[bool | int]


class Choices(msgspec.Struct, forbid_unknown_fields=True):
    """What every unit of a model keeps.

    Attributes:
        units: Unit -> a count (an integer), a ratio (with a decimal point), a mask (a list of
            booleans) or the indices kept (a list of integers). Units that are not named stay
            whole.
        schema: The form of this file.
        source_sha256: The hash of the model they were made for, None for any.
    """

    units: dict[str, Choice]
    schema: str = SCHEMA
    source_sha256: str | None = None

    def apply(self, units: Units) -> None:
        """Set the choices of a model's units.

        Raises:
            ChoiceError: If the choices are for another model, name a unit that does not exist or
                must stay whole, or are out of range. No unit is changed then.
        """
        sha = units.graph.source.sha256
        if self.source_sha256 not in (None, sha):
            raise ChoiceError(
                f"These choices were made for another model (its hash begins with "
                f"{str(self.source_sha256)[:12]}, this one's with {sha[:12]}); remove "
                f"'source_sha256' to use them all the same."
            )
        masks = [(units[name], _mask(units[name], choice)) for name, choice in self.units.items()]
        for unit, mask in masks:
            if not unit.is_mutable and not mask.all():
                raise ChoiceError(f"The unit '{unit.name}' must stay whole: {unit.why_not}.")
        for unit in units:
            unit.mutable_channel.current_mask = np.ones(unit.num_channels, bool)
        for unit, mask in masks:
            unit.mutable_channel.current_mask = mask

    @classmethod
    def of(cls, units: Units) -> Choices:
        """The current choices of a model's units, as indices."""
        chosen: dict[str, Choice] = {
            unit.name: np.flatnonzero(unit.mask).tolist()
            for unit in units.mutable
            if not unit.mask.all()
        }
        return cls(chosen, source_sha256=units.graph.source.sha256)

    def to_json(self) -> str:
        """The choices as the text of a file, a line for every unit."""
        units = (f"    {_json(name)}: {_json(choice)}" for name, choice in self.units.items())
        lines = [
            "{",
            f'  "schema": {_json(self.schema)},',
            f'  "source_sha256": {_json(self.source_sha256)},',
            '  "units": {',
            *([",\n".join(units)] if self.units else []),
            "  }",
            "}",
        ]
        return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    text = msgspec.json.encode(value)
    return msgspec.json.format(text, indent=0).decode()


def _mask(unit: MutableChannelUnit, choice: Choice) -> Mask:
    if not isinstance(choice, list):
        return unit.mask_of(choice)
    where, size = f"The unit '{unit.name}'", unit.num_channels
    booleans = sum(isinstance(entry, bool | np.bool_) for entry in choice)
    if choice and booleans == len(choice):
        if len(choice) != size or not any(choice):
            raise ChoiceError(
                f"{where} needs a mask of {size} booleans, at least one of them true; this one "
                f"has {len(choice)}, {sum(choice)} of them true."
            )
        return unit.mask_of(np.array(choice))
    if not choice or booleans:
        raise ChoiceError(f"{where} needs a list of indices, at least one, or of booleans.")
    wrong = [entry for entry in choice if not 0 <= entry < size]
    if wrong:
        raise ChoiceError(f"{where} has the channels 0 to {size - 1}; its choice names {wrong[0]}.")
    if len(set(choice)) < len(choice):
        raise ChoiceError(f"{where} has the same index twice in its choice.")
    mask = np.zeros(size, bool)
    mask[choice] = True
    return unit.mask_of(mask)


def read_choices(path: str | os.PathLike[str]) -> Choices:
    """Read a file of choices.

    Args:
        path: The file, JSON in the form of `Choices`.

    Returns:
        The choices.

    Raises:
        ChoiceError: If the file cannot be read or is not of that form.
    """
    try:
        choices = msgspec.json.decode(Path(path).read_bytes(), type=Choices)
    except OSError as error:
        raise ChoiceError(f"{path}: the choices cannot be read ({error.strerror}).") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ChoiceError(f"{path}: the file does not hold choices ({error}).") from error
    if choices.schema != SCHEMA:
        raise ChoiceError(f"{path}: its schema is '{choices.schema}', not '{SCHEMA}'.")
    return choices
