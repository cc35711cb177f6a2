"""MutableChannelUnit: channels that depend on each other and are chosen together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.axes.labels import Barrier
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.registry import Registry
from onnxprune.units.channel import Channel
from onnxprune.units.counts import count_of, make_divisible
from onnxprune.units.found import Found
from onnxprune.units.mutable import (
    BaseMutableChannel,
    SimpleMutableChannel,
    checked_mode,
    mask_of,
)
from onnxprune.units.places import Place, stored

if TYPE_CHECKING:
    from onnxprune.units.units import Units

__all__ = ["UNIT_KINDS", "MutableChannelUnit", "unit_kind"]

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]
Choice = float | Sequence[bool] | Sequence[int] | Mask | Ids


class MutableChannelUnit:
    """Channels of a model that can only be kept or removed together, one by one.

    A kind of unit of your own derives from this class and overrides `scores`.

    Args:
        num_channels: The number of channels.
        choice_mode: Whether `current_choice` tells a ``number`` or a ``ratio``; either is taken.
        divisor: Counts are rounded to the nearest multiple of this, at most all channels.
        min_value: The least count.
        min_ratio: Rounding leaves at least this part of the count that was asked for.

    Attributes:
        name: ``{module}_({start}, {end})_{num_channels}`` of the first producer; unique.
        output_related: Where the channels are produced, or passed through.
        input_related: Where the channels are consumed, or passed through.
        mutable_channel: Holds the choice.
        atoms: (num_channels,) the atom of each channel.
        barrier: Why the unit must stay whole, None for one that may lose channels.
        groups: (num_channels,) the group of each channel where every group must keep equally many
            (grouped convolutions), else None.
        found: What the model says of the unit.

    Raises:
        ChoiceError: If an argument is out of range.
    """

    mutable_channel_type: ClassVar[type[SimpleMutableChannel]] = SimpleMutableChannel

    def __init__(
        self,
        num_channels: int,
        choice_mode: str = "number",
        divisor: int = 1,
        min_value: int = 1,
        min_ratio: float = 0.9,
    ) -> None:
        if divisor < 1 or min_value < 1 or not 0 < min_ratio <= 1:
            raise ChoiceError(
                f"A unit needs a divisor and a min_value of at least 1 and a min_ratio above 0 and "
                f"at most 1, not {divisor}, {min_value} and {min_ratio}."
            )
        self.choice_mode = checked_mode(choice_mode)
        self.divisor = divisor
        self.min_value = min_value
        self.min_ratio = min_ratio
        self.mutable_channel: BaseMutableChannel = self.mutable_channel_type(num_channels)
        self.is_fixed = False
        self.found = Found(f"unit_{(0, num_channels)}_{num_channels}", np.zeros(0, np.int64))
        self.name = self.found.name
        self.output_related: list[Channel] = []
        self.input_related: list[Channel] = []

    @classmethod
    def of(cls, found: Found, **init_args: Any) -> Self:
        """A unit of this kind, of what a model says of it.

        Raises:
            OnnxPruneError: If the kind does not take these arguments.
        """
        channels = (*found.output_related, *found.input_related)
        size = len(found.atoms) or channels[0].num_channels
        try:
            unit = cls(size, **init_args)
        except TypeError as error:
            known = ", ".join(unit_arguments(cls))
            raise OnnxPruneError(f"{cls.__name__}: {error}; it takes {known}.") from None
        unit.found = found
        unit.name = found.name
        unit.output_related = list(found.output_related)
        unit.input_related = list(found.input_related)
        if found.mutable_channel is not None:
            unit.mutable_channel = found.mutable_channel
        return unit

    @classmethod
    def init_from_graph(cls, model: Any, example: Any = None, **init_args: Any) -> Units:
        """All units of a model, found in its graph, as units of this kind.

        Args:
            model: A graph or a model in any form, a torch module too.
            example: The inputs that a torch module is traced with; None tries an image.
            init_args: What every unit is made with.

        Returns:
            The units in topological order, those that must stay whole too.
        """
        from onnxprune.units.find import find_units
        from onnxprune.units.framework import graph_of

        return find_units(graph_of(model, example), cls, **init_args)

    @classmethod
    def init_from_cfg(cls, model: Any, config: Mapping[str, Any], example: Any = None) -> Self:
        """The unit of a model that a config describes.

        Args:
            model: A graph or a model in any form, a torch module too; or its units.
            config: ``init_args``, ``channels`` (``output_related`` and ``input_related``, each a
                list of ``name``, ``start``, ``end``) and ``choice``, as MMRazor writes them.
            example: The inputs that a torch module is traced with; None tries an image.

        Raises:
            ChoiceError: If the config is malformed, names a module that does not exist, or leaves
                out places that depend on those that it names.
        """
        from onnxprune.units.config import unit_from_config
        from onnxprune.units.units import Units

        units = model if isinstance(model, Units) else cls.init_from_graph(model, example)
        return unit_from_config(cls, units, config)

    @classmethod
    def init_from_predefined_model(cls, model: Any) -> list[Self] | Units:
        """The units that a model comes with.

        Args:
            model: A torch module with dynamic operators to which mutable channels are registered;
                or an ONNX model that carries its units in its metadata.

        Returns:
            The units of the module; or all units of the ONNX model, those that it carries as they
            were made and chosen.

        Raises:
            ChoiceError: If it carries no units, or units that it does not have.
        """
        from onnxprune.units.framework import framework_of
        from onnxprune.units.metadata import units_in_metadata

        framework = framework_of(model)
        if framework is None:
            return units_in_metadata(cls, cls.init_from_graph(model))
        return [cls.of(found) for found in framework.predefined(model)]

    def prepare_for_pruning(self, model: Any) -> None:
        """Let a torch module follow this unit: its layers become dynamic operators.

        They keep their weights, and slice them by the unit's choice whenever they run.

        Args:
            model: The module that the unit was found in, or a copy of it; changed in place.

        Raises:
            OnnxPruneError: If it is no torch module.
            ChoiceError: If it lacks a layer or a parameter of the unit.
        """
        from onnxprune.units.framework import needed

        needed(model).prepare(self, model)

    @staticmethod
    def _register_channel_container(model: Any, container: type) -> None:
        """Give every dynamic operator of a module its containers; they have them from the start."""

    @property
    def num_channels(self) -> int:
        """The number of channels."""
        return self.mutable_channel.num_channels

    @property
    def atoms(self) -> Ids:
        """(num_channels,) the atom of each channel."""
        return self.found.atoms

    @property
    def barrier(self) -> Barrier | None:
        """Why the unit must stay whole, None for one that may lose channels."""
        return self.found.barrier

    @property
    def role(self) -> str:
        """What the channels are: ``channel``, ``head``, ``head-size``, ``group``, ..."""
        return self.found.role

    @property
    def groups(self) -> Ids | None:
        """(num_channels,) the groups that must keep equally many channels, None without any."""
        return self.found.groups

    @property
    def is_mutable(self) -> bool:
        """Whether the unit may lose channels."""
        return self.barrier is None and self.num_channels > 1

    @property
    def why_not(self) -> str | None:
        """Why the unit may not lose channels, None when it may."""
        if self.barrier is not None:
            return str(self.barrier)
        return None if self.num_channels > 1 else "it has a single channel"

    @property
    def num_groups(self) -> int:
        """How many groups must keep equally many channels; counts are multiples of this."""
        return 1 if self.groups is None else int(self.groups.max()) + 1

    @property
    def mask(self) -> Mask:
        """(num_channels,) which channels are kept."""
        return self.mutable_channel.current_mask

    @property
    def current_choice(self) -> Any:
        """What is kept: a number or a ratio, by the mode.

        Assign a count (an integer), a ratio (a float in (0, 1]), a mask (booleans) or the indices
        to keep (integers).
        """
        kept = self.mutable_channel.activated_channels
        return kept if self.choice_mode == "number" else kept / self.num_channels

    @current_choice.setter
    def current_choice(self, choice: Choice) -> None:
        self.set_mask(self.mask_of(choice))

    def set_mask(self, mask: Mask) -> None:
        """Keep exactly these channels, (num_channels,).

        Raises:
            ChoiceError: If the unit must stay whole, is fixed, or follows other units.
        """
        self.check_mask(mask)
        assert isinstance(self.mutable_channel, SimpleMutableChannel)
        self.mutable_channel.current_mask = mask

    def check_mask(self, mask: Mask) -> None:
        """Raise what `set_mask` would raise."""
        if not self.is_mutable and not mask.all():
            raise ChoiceError(f"The unit '{self.name}' must stay whole: {self.why_not}.")
        self._check_groups(mask)
        if self.is_fixed and (mask != self.mask).any():
            raise ChoiceError(f"The unit '{self.name}' is fixed; its choice cannot change.")
        if not isinstance(self.mutable_channel, SimpleMutableChannel):
            raise ChoiceError(f"The unit '{self.name}' follows other units; choose for those.")

    def mask_of(self, choice: Choice) -> Mask:
        """The mask that a count, a ratio, a mask or a list of indices stands for in this unit.

        Raises:
            ChoiceError: If the choice is out of range or of the wrong form.
        """
        where, n = f"The unit '{self.name}'", self.num_groups
        if isinstance(choice, int | float | np.number):
            return self.best(self.rounded(count_of(choice, self.num_channels, where, n)))
        mask = mask_of(choice, self.num_channels, where)
        self._check_groups(mask)
        return mask

    def _check_groups(self, mask: Mask) -> None:
        n = self.num_groups
        if self.groups is not None and len(set(np.bincount(self.groups[mask], minlength=n))) > 1:
            raise ChoiceError(
                f"The unit '{self.name}' must keep equally many channels in each of its {n} groups."
            )

    def rounded(self, count: float) -> int:
        """The nearest count that the unit may keep: the divisor's and groups' multiples."""
        step = math.lcm(self.divisor, self.num_groups)
        least = math.ceil(self.min_value / step) * step
        return min(make_divisible(count, step, least, self.min_ratio), self.num_channels)

    def scores(self) -> Scores:
        """What each channel is worth, (num_channels,); override this in a kind of your own."""
        return -np.arange(self.num_channels, dtype=np.float64)

    def best(self, count: int) -> Mask:
        """The mask of the `count` channels of the highest score, equally many in each group."""
        scores = np.asarray(self.scores())
        if scores.shape != (self.num_channels,) or not np.isfinite(scores).all():
            raise OnnxPruneError(
                f"{type(self).__name__}.scores must give {self.num_channels} finite numbers for "
                f"the unit '{self.name}', one for each channel; it gives an array of shape "
                f"{scores.shape}, {int(np.isfinite(scores).sum())} of them finite."
            )
        return self.first(np.argsort(-scores, kind="stable"), count)

    def first(self, order: Ids, count: int) -> Mask:
        """The mask of the first `count` channels in some order, equally many in each group."""
        mask = np.zeros(self.num_channels, bool)
        groups = np.zeros(self.num_channels, np.int64) if self.groups is None else self.groups
        for group in range(self.num_groups):
            mask[order[groups[order] == group][: count // self.num_groups]] = True
        return mask

    def sample_choice(self, seed: int | None = None) -> Any:
        """A random choice: any count that rounding allows, as the mode tells it."""
        random = np.random.default_rng(seed)
        count = self.rounded(int(random.integers(1, self.num_channels + 1)))
        return count if self.choice_mode == "number" else count / self.num_channels

    def extreme_choice(self, most: bool) -> Any:
        """The choice of the most or the fewest channels."""
        count = self.num_channels if most else self.rounded(1)
        return count if self.choice_mode == "number" else count / self.num_channels

    def fix_chosen(self, choice: Choice | None = None) -> None:
        """Let nobody change the choice any more.

        Args:
            choice: The choice; the current one if None.

        Raises:
            ChoiceError: If it is fixed already, or the choice does not fit.
        """
        if self.is_fixed:
            raise ChoiceError(f"The unit '{self.name}' is fixed already.")
        if choice is not None:
            self.current_choice = choice
        self.is_fixed = True

    def init_args(self) -> dict[str, Any]:
        """What the unit was made with.

        Raises:
            OnnxPruneError: If the kind does not keep an argument as an attribute of its name.
        """
        names = unit_arguments(type(self))
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise OnnxPruneError(
                f"{type(self).__name__} does not tell its '{missing[0]}'; let the constructor keep "
                f"it as an attribute of that name."
            )
        return {name: getattr(self, name) for name in names}

    def config_template(
        self, with_init_args: bool = False, with_channels: bool = False
    ) -> dict[str, Any]:
        """The config that the unit can be made of again; see `init_from_cfg`."""
        from onnxprune.units.config import config_of

        return config_of(self, with_init_args, with_channels)

    def places(self) -> Iterator[Place]:
        """Where the unit's channels stand in the weights of its graph, as they are stored."""
        return stored(self.found.labels, self.atoms)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}(", f"  name={self.name}"]
        for side in ("output_related", "input_related"):
            lines.append(f"  ({side}): ModuleList(")
            lines += [f"    ({i}): {channel}" for i, channel in enumerate(getattr(self, side))]
            lines.append("  )")
        lines.append(f"  (mutable_channel): {self.mutable_channel}")
        return "\n".join([*lines, ")"])


def unit_arguments(kind: type[MutableChannelUnit]) -> Mapping[str, Any]:
    """The arguments that a kind of unit is made with, and their defaults."""
    import inspect

    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


UNIT_KINDS: Registry[type[MutableChannelUnit]] = Registry("unit_kind")
unit_kind = UNIT_KINDS.register
