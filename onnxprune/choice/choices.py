"""The choices for a whole model, as data and as a file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from onnxprune.errors import ChoiceError
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["Choice", "Choices", "read_choices"]

SCHEMA = "onnxprune.choices/1"

Choice = int | float | list[bool] | list[int]


class Choices(msgspec.Struct, forbid_unknown_fields=True):
    """What every unit of a model keeps.

    Attributes:
        units: Unit -> a count (integer), a ratio (with a decimal point), a mask (booleans) or the
            indices kept. Units that are not named stay whole.
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
        """The choices as the text of a file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"


def _mask(unit: MutableChannelUnit, choice: Choice) -> np.ndarray:
    if not isinstance(choice, list):
        return unit.mask_of(choice)
    if choice and isinstance(choice[0], bool):
        return unit.mask_of(np.array(choice))
    indices = np.array(choice, np.int64)
    if not len(indices) or len(np.unique(indices)) < len(indices):
        raise ChoiceError(f"The unit '{unit.name}' needs at least one index, and each only once.")
    if indices.min() < 0 or indices.max() >= unit.num_channels:
        raise ChoiceError(
            f"The unit '{unit.name}' has the channels 0 to {unit.num_channels - 1}; its choice "
            f"names {int(indices.min() if indices.min() < 0 else indices.max())}."
        )
    mask = np.zeros(unit.num_channels, bool)
    mask[indices] = True
    return mask


def read_choices(path: str | os.PathLike[str]) -> Choices:
    """Read a file of choices.

    Raises:
        ChoiceError: If the file cannot be read or is not of the form of `Choices`.
    """
    try:
        choices = msgspec.json.decode(Path(path).read_bytes(), type=Choices)
    except OSError as error:
        raise ChoiceError(f"Cannot read the choices '{path}': {error.strerror}.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ChoiceError(f"The file '{path}' does not hold choices: {error}.") from error
    if choices.schema != SCHEMA:
        raise ChoiceError(f"The choices '{path}' are '{choices.schema}'; '{SCHEMA}' is needed.")
    return choices
