"""The choices for a whole model, as data and as a file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from onnxprune.errors import ChoiceError
from onnxprune.graph import fingerprint
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.version import __version__

__all__ = ["Choice", "Choices", "Kept", "as_choices", "read_choices"]

Mask = npt.NDArray[np.bool_]

SCHEMA = "onnxprune.choices/1"


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """What a unit keeps, told twice, so that a slip of the pen is found.

    Attributes:
        count: How many channels.
        of: Out of how many.
        indices: Which.
    """

    count: int
    of: int
    indices: list[int]


Choice = int | float | list[bool | int] | Kept


class Choices(msgspec.Struct, forbid_unknown_fields=True):
    """What every unit of a model keeps.

    Attributes:
        units: Unit -> a count (an integer), a ratio (with a decimal point), a mask (a list of
            booleans), the indices kept (a list of integers), or all of it (`Kept`). Units that are
            not named stay whole.
        schema: The form of this file.
        version: The version of onnxprune that wrote it.
        fingerprint: Of the model's architecture; None for any model.
        subnets: More of the same by name: other choices for the same model.
    """

    units: dict[str, Choice]
    schema: str = SCHEMA
    version: str = __version__
    fingerprint: str | None = None
    subnets: dict[str, dict[str, Choice]] = {}

    def apply(self, units: Units) -> None:
        """Set the choices of a model's units.

        Raises:
            ChoiceError: If the choices are for another model, name a unit that does not exist or
                must stay whole, or are out of range. No unit is changed then.
        """
        if self.fingerprint is not None:
            found = fingerprint(units.graph)
            if self.fingerprint != found:
                raise ChoiceError(
                    f"These choices were made for a model of another architecture (its fingerprint "
                    f"begins with {self.fingerprint[:12]}, this one's with {found[:12]}); remove "
                    f"'fingerprint' to use them all the same."
                )
        masks = [(units[name], _mask(units[name], choice)) for name, choice in self.units.items()]
        for unit, mask in masks:
            unit.check_mask(mask)
        units.reset()
        for unit, mask in masks:
            unit.set_mask(mask)

    def subnet(self, name: str) -> Choices:
        """The choices of that name, for the same model.

        Raises:
            ChoiceError: If there is no such name.
        """
        if name not in self.subnets:
            near = difflib.get_close_matches(name, self.subnets, 3, 0.3) or list(self.subnets)
            raise ChoiceError(
                f"There is no subnet '{name}'; there are: {', '.join(near) or 'none'}."
            )
        return Choices(self.subnets[name], fingerprint=self.fingerprint)

    @classmethod
    def of(cls, units: Units) -> Choices:
        """The current choices of a model's units, as counts and indices."""
        chosen: dict[str, Choice] = {
            unit.name: Kept(
                int(unit.mask.sum()), unit.num_channels, np.flatnonzero(unit.mask).tolist()
            )
            for unit in units.mutable
            if not unit.mask.all()
        }
        return cls(chosen, fingerprint=fingerprint(units.graph))

    def to_json(self) -> str:
        """The choices as the text of a file, a line for every unit."""
        subnets = [
            f"    {_json(name)}: {{\n{_lines(units, 6)}\n    }}"
            for name, units in self.subnets.items()
        ]
        parts = [
            f'  "schema": {_json(self.schema)}',
            f'  "version": {_json(self.version)}',
            f'  "fingerprint": {_json(self.fingerprint)}',
            f'  "units": {{\n{_lines(self.units, 4)}\n  }}',
            *(['  "subnets": {\n' + ",\n".join(subnets) + "\n  }"] if subnets else []),
        ]
        return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(units: Mapping[str, Choice], indent: int) -> str:
    """A line for every unit."""
    return ",\n".join(f"{' ' * indent}{_json(name)}: {_json(c)}" for name, c in units.items())


def _mask(unit: MutableChannelUnit, choice: Choice) -> Mask:
    if not isinstance(choice, Kept):
        return unit.mask_of(choice)
    if choice.of != unit.num_channels or choice.count != len(choice.indices):
        raise ChoiceError(
            f"The unit '{unit.name}' has {unit.num_channels} channels; its choice keeps "
            f"{choice.count} of {choice.of} and lists {len(choice.indices)}."
        )
    return unit.mask_of(choice.indices)


def _json(value: object) -> str:
    text = msgspec.json.encode(value)
    return msgspec.json.format(text, indent=0).decode()


def as_choices(choices: Choices | Mapping[str, Choice] | str | os.PathLike[str]) -> Choices:
    """Choices in any form: as they are, a dict of them by unit, or a file.

    Raises:
        ChoiceError: If they are none of these, or the file cannot be read.
    """
    if isinstance(choices, Choices):
        return choices
    if isinstance(choices, Mapping):
        return Choices(dict(choices))
    if isinstance(choices, str | os.PathLike):
        return read_choices(choices)
    raise ChoiceError(
        f"A {type(choices).__name__} is no choices; give a file, or a dict of units and what each "
        f"keeps."
    )


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
