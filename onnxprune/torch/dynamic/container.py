"""Which indices of one axis of a layer are kept: the channels that own them decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from onnxprune.errors import ChoiceError, RefusedError
from onnxprune.units.mutable import BaseMutableChannel

__all__ = ["Ids", "Mask", "MutableChannelContainer", "as_positions", "is_masked", "refuse_masked"]

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class MutableChannelContainer(nn.Module):
    """The kept indices of one axis. An index is kept when all channels that own it are.

    It has no parameters and no buffers, so it leaves a state_dict as it is.

    Args:
        num_channels: The size of the axis while everything is kept.

    Raises:
        ChoiceError: If that is below 1.

    Example::

        >>> MutableChannelContainer(8)
        MutableChannelContainer(num_channels=8, activated_channels=8)
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        if num_channels < 1:
            raise ChoiceError(f"A container needs at least 1 channel, not {num_channels}.")
        self.num_channels = num_channels
        # (mutable, (2, k)): its channels and the indices that they own, pair by pair, sorted
        self._registered: list[tuple[BaseMutableChannel, Ids]] = []
        # A container is never called. But where it has a hook, nn.TransformerEncoderLayer does not
        # pass its layers by and compute with their weights itself.
        self.register_forward_pre_hook(_nothing)

    @property
    def mutables(self) -> list[BaseMutableChannel]:
        """The mutable channels that own indices here, in the order of their registration."""
        return list({id(mutable): mutable for mutable, _ in self._registered}.values())

    @property
    def registrations(self) -> list[tuple[BaseMutableChannel, Ids]]:
        """The mutable channels with their positions: (num_channels, repeats), -1 for none."""
        found = []
        for mutable, (owners, indices) in self._registered:
            counts = np.bincount(owners, minlength=mutable.num_channels)
            positions = np.full((mutable.num_channels, counts.max()), -1, np.int64)
            column = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
            positions[owners, column] = indices
            found.append((mutable, positions))
        return found

    @property
    def current_mask(self) -> Mask:
        """(num_channels,) which indices are kept."""
        return self._mask(masked=True)

    @property
    def width_mask(self) -> Mask:
        """(num_channels,) which indices are physically there; of these, masked ones are zero."""
        return self._mask(masked=False)

    @property
    def activated_channels(self) -> int:
        """How many indices are kept."""
        return int(self.current_mask.sum())

    def register_mutable(
        self, mutable_channel: BaseMutableChannel, start: int = 0, end: int | None = None
    ) -> None:
        """Let a mutable channel own a range of indices, dealt out in equal runs.

        Args:
            mutable_channel: The mutable channel.
            start: The first index.
            end: The index after the last; None for the end of the axis.

        Raises:
            ChoiceError: If the range is not one of this axis, or cannot be dealt out equally.
        """
        end = self.num_channels if end is None else end
        if not 0 <= start < end <= self.num_channels:
            raise ChoiceError(
                f"A container of {self.num_channels} channels has no range from {start} to {end}."
            )
        if (end - start) % mutable_channel.num_channels:
            raise ChoiceError(
                f"The {end - start} indices from {start} to {end} cannot be dealt out equally to "
                f"the {mutable_channel.num_channels} channels of a mutable channel."
            )
        self.add(mutable_channel, np.arange(start, end).reshape(mutable_channel.num_channels, -1))

    def register(self, mutable_channel: BaseMutableChannel, positions: Any) -> None:
        """Let a mutable channel own indices.

        Args:
            mutable_channel: The mutable channel.
            positions: (mutable_channel.num_channels, repeats) integers: row i holds the indices
                that channel i owns.

        Raises:
            ChoiceError: If these are no such integers, or none of this axis.
        """
        self.add(mutable_channel, as_positions(mutable_channel, positions, self.num_channels))

    def add(self, mutable_channel: BaseMutableChannel, positions: Ids) -> None:
        """`register` for positions that are known to be right, of which -1 stands for none.

        Args:
            mutable_channel: The mutable channel.
            positions: (mutable_channel.num_channels, repeats) its indices, or -1.
        """
        owners = np.broadcast_to(np.arange(len(positions))[:, None], positions.shape)
        pairs = np.stack([owners.ravel(), positions.ravel()])
        pairs = np.unique(pairs[:, pairs[1] >= 0], axis=1)
        for mutable, others in self._registered:
            if mutable is mutable_channel and np.array_equal(others, pairs):
                return
        if pairs.size:
            self._registered.append((mutable_channel, pairs))

    @classmethod
    def register_mutable_channel_to_module(
        cls,
        module: nn.Module,
        mutable: BaseMutableChannel,
        is_to_output_channel: bool = True,
        start: int = 0,
        end: int = -1,
    ) -> None:
        """Let a mutable channel own a range of the output or the input channels of a layer.

        Args:
            module: A dynamic operator.
            mutable: The mutable channel.
            is_to_output_channel: Whether it owns output channels.
            start: The first index.
            end: The index after the last; -1 for the end of the axis.

        Raises:
            ChoiceError: If the module is no dynamic operator, has no such channels, or the range
                does not fit.
        """
        find = getattr(module, "get_mutable_attr", None)
        if find is None:
            raise ChoiceError(
                f"{type(module).__name__} is no dynamic operator, so it has no channels to which "
                "a mutable channel could be registered; convert it first."
            )
        container = find("out_channels" if is_to_output_channel else "in_channels")
        container.register_mutable(mutable, start, None if end == -1 else end)

    def extra_repr(self) -> str:
        """What is printed between the brackets."""
        return f"num_channels={self.num_channels}, activated_channels={self.activated_channels}"

    def _mask(self, masked: bool) -> Mask:
        """The conjunction over all registrations, or over those whose channels really leave."""
        mask = np.ones(self.num_channels, bool)
        for mutable, (owners, indices) in self._registered:
            if masked or not is_masked(mutable):
                mask[indices[~np.asarray(mutable.current_mask, bool)[owners]]] = False
        return mask


def as_positions(mutable: BaseMutableChannel, positions: Any, size: int) -> Ids:
    """(num_channels, repeats) the positions of a mutable channel on an axis, checked.

    Args:
        mutable: The mutable channel.
        positions: What is to be checked: row i holds the indices that channel i owns.
        size: The size of the axis.

    Raises:
        ChoiceError: If it is no integer array of that shape, or leaves the axis.
    """
    array = np.asarray(positions)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.dtype.kind not in "iu" or len(array) != mutable.num_channels:
        raise ChoiceError(
            f"Positions are an integer array of shape ({mutable.num_channels}, repeats), for the "
            f"mutable channel has {mutable.num_channels} channels; this one is of type "
            f"{array.dtype} and shape {array.shape}."
        )
    wrong = array[(array < 0) | (array >= size)]
    if wrong.size:
        raise ChoiceError(f"An axis of size {size} has no position {wrong[0]}.")
    return array.astype(np.int64)


def is_masked(mutable: BaseMutableChannel) -> bool:
    """Whether removed channels stay in place as zeros."""
    return bool(getattr(mutable, "masked", False))


def refuse_masked(container: MutableChannelContainer, what: str) -> None:
    """Refuse to make a layer smaller with whose width the model computes.

    Args:
        container: What tells whether that is so.
        what: What would become smaller.

    Raises:
        RefusedError: If it is, and something is removed.
    """
    for mutable in container.mutables:
        removed = mutable.num_channels - mutable.activated_channels
        if is_masked(mutable) and removed:
            raise RefusedError(
                f"{what} cannot become smaller, for its width is hard-coded by the model's "
                f"forward; {removed} of {mutable.num_channels} channels are masked, and stay as "
                "zeros."
            )


def _nothing(*_: object) -> None:
    """A hook that does nothing."""
