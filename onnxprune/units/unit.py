"""MutableChannelUnit: channels that depend on each other and are chosen together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.axes.labels import Barrier
from onnxprune.errors import ChoiceError
from onnxprune.registry import Registry
from onnxprune.units.channel import Channel
from onnxprune.units.magnitude import mean_over_producers
from onnxprune.units.mutable import (
    BaseMutableChannel,
    SequentialMutableChannel,
    SimpleMutableChannel,
    count_of,
)

__all__ = [
    "UNIT_KINDS",
    "L1MutableChannelUnit",
    "MutableChannelUnit",
    "SequentialMutableChannelUnit",
    "unit_kind",
]

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


class MutableChannelUnit:
    """Channels of a model that can only be kept or removed together, one by one.

    Attributes:
        name: ``{module}_({start}, {end})_{num_channels}`` of the first producer; unique.
        output_related: Where the channels are produced, or passed through.
        input_related: Where the channels are consumed, or passed through.
        mutable_channel: Holds the choice.
        atoms: (num_channels,) the atom of each channel.
        barrier: Why the unit must stay whole, None for one that may lose channels.
        groups: (num_channels,) the group of each channel where every group must keep equally many
            (grouped convolutions), else None.
    """

    mutable_channel_type: type[BaseMutableChannel] = SimpleMutableChannel

    def __init__(
        self,
        name: str,
        atoms: Ids,
        output_related: Sequence[Channel] = (),
        input_related: Sequence[Channel] = (),
        barrier: Barrier | None = None,
        groups: Ids | None = None,
    ) -> None:
        self.name = name
        self.atoms = atoms
        self.output_related = list(output_related)
        self.input_related = list(input_related)
        self.barrier = barrier
        self.groups = groups
        self.mutable_channel = self.mutable_channel_type(len(atoms))

    @property
    def num_channels(self) -> int:
        """The number of channels."""
        return len(self.atoms)

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
    def current_choice(self) -> int:
        """How many channels are kept; assign a count (int), a ratio (float) or a mask (bools)."""
        return self.mutable_channel.activated_channels

    @current_choice.setter
    def current_choice(self, choice: float | Sequence[bool] | Mask) -> None:
        mask = self.mask_of(choice)
        if not self.is_mutable and not mask.all():
            raise ChoiceError(f"The unit '{self.name}' must stay whole: {self.why_not}.")
        self.mutable_channel.current_mask = mask

    def mask_of(self, choice: float | Sequence[bool] | Mask) -> Mask:
        """The mask that a count, a ratio or a mask stands for in this unit.

        Raises:
            ChoiceError: If the choice is out of range or of the wrong form.
        """
        where, n = f"The unit '{self.name}'", self.num_groups
        if isinstance(choice, int | float | np.number):
            return self.best(count_of(choice, self.num_channels, where, n))
        simple = SimpleMutableChannel(self.num_channels)
        simple.current_choice = choice
        mask = simple.current_mask
        if self.groups is not None and len(set(np.bincount(self.groups[mask], minlength=n))) > 1:
            raise ChoiceError(f"{where} must keep equally many channels in each of its {n} groups.")
        return mask

    def scores(self) -> Scores:
        """What each channel is worth, (num_channels,); override this in a kind of your own."""
        return -np.arange(self.num_channels, dtype=np.float64)

    def best(self, count: int) -> Mask:
        """The mask of the `count` channels of the highest score, equally many in each group."""
        return self.first(np.argsort(-self.scores(), kind="stable"), count)

    def first(self, order: Ids, count: int) -> Mask:
        """The mask of the first `count` channels in some order, equally many in each group."""
        mask = np.zeros(self.num_channels, bool)
        groups = np.zeros(self.num_channels, np.int64) if self.groups is None else self.groups
        for group in range(self.num_groups):
            mask[order[groups[order] == group][: count // self.num_groups]] = True
        return mask

    def sample_choice(self, seed: int | None = None) -> int:
        """A random count between 1 and num_channels, a multiple of the number of groups."""
        most = self.num_channels // self.num_groups
        return int(np.random.default_rng(seed).integers(1, most + 1)) * self.num_groups

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}(", f"  name={self.name}"]
        for side in ("output_related", "input_related"):
            lines.append(f"  ({side}): [")
            lines += [f"    ({i}): {channel}" for i, channel in enumerate(getattr(self, side))]
            lines.append("  ]")
        lines.append(f"  (mutable_channel): {self.mutable_channel}")
        return "\n".join([*lines, ")"])


UNIT_KINDS: Registry[type[MutableChannelUnit]] = Registry("unit_kind")
unit_kind = UNIT_KINDS.register


@unit_kind("sequential")
class SequentialMutableChannelUnit(MutableChannelUnit):
    """Keeps its first channels."""

    mutable_channel_type = SequentialMutableChannel


@unit_kind("l1")
class L1MutableChannelUnit(MutableChannelUnit):
    """Keeps the channels of the largest mean absolute weight, averaged over the producers.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017; the mean over producers
    as in MMRazor.
    """

    def scores(self) -> Scores:
        """(num_channels,) mean absolute weights."""
        return mean_over_producers(self, lambda weights: np.abs(weights).mean(axis=1))
