"""Convolutions and transposed convolutions, with any number of groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic.container import Ids, Mask
from onnxprune.torch.dynamic.cuts import Cut, where
from onnxprune.torch.dynamic.op import DynamicOp, Sites, dynamic_op, straight

__all__ = [
    "DynamicConv1d",
    "DynamicConv2d",
    "DynamicConv3d",
    "DynamicConvTranspose1d",
    "DynamicConvTranspose2d",
    "DynamicConvTranspose3d",
]


class _Convolution(DynamicOp):
    """A group is gone when all its outputs are, and its inputs are then gone too.

    Weights: (outputs, inputs of a group, ...), transposed (inputs, outputs of a group, ...). Of the
    latter without a bias only the axis of the inputs counts through all groups: there a group is
    gone, outputs and all, when its inputs are.
    """

    in_channels: int
    out_channels: int
    groups: int
    transposed: bool
    kernel_size: tuple[int, ...]

    def widths(self) -> Mapping[str, int]:
        """The input and the output channels."""
        return {"in_channels": self.in_channels, "out_channels": self.out_channels}

    def sites(self, grouped: bool) -> Sites:
        """The weight's outer axis counts through all groups, its inner one belongs to each."""
        outer, inner = ("in", "out") if self.transposed else ("out", "in")
        sizes = self.widths()
        every = straight(sizes[f"{inner}_channels"])
        if not grouped:
            every = every.reshape(self.groups, -1).T
        return {
            ("weight", 0): {f"{outer}_channels": straight(sizes[f"{outer}_channels"])},
            ("weight", 1): {f"{inner}_channels": every},
            ("bias", 0): {"out_channels": straight(self.out_channels)},
        }

    def input_axes(self) -> Mapping[str, int]:
        """The axis before the spatial ones."""
        return {"in_channels": -len(self.kernel_size) - 1}

    def output_axes(self) -> Mapping[str, int]:
        """The axis before the spatial ones."""
        return {"out_channels": -len(self.kernel_size) - 1}

    def cut(self) -> Cut:
        """The convolution of the groups that are left.

        Raises:
            ChoiceError: If these do not keep equally many channels, or none is left.
        """
        outputs = self.mask("out_channels")
        if self._by_inputs:
            fed = self.mask("in_channels").reshape(self.groups, -1).any(axis=1)
            outputs = outputs & np.repeat(fed, self.out_channels // self.groups)
        alive = np.asarray(outputs.reshape(self.groups, -1).any(axis=1))
        inputs = self.mask("in_channels") & np.repeat(alive, self.in_channels // self.groups)
        made = self._of_each_group(outputs, alive, "output")
        used = self._of_each_group(inputs, alive, "input")
        outer, outer_group, inner = inputs, used, made
        if not self.transposed:
            outer, outer_group, inner = outputs, made, used
        columns = inner[0] if (inner == inner[0]).all() else inner.repeat(outer_group.shape[1], 0)
        return Cut(
            kept={"in_channels": inputs, "out_channels": outputs},
            attributes={
                "in_channels": int(inputs.sum()),
                "out_channels": int(outputs.sum()),
                "groups": int(alive.sum()),
            },
            picks={"weight": {0: where(outer), 1: columns}, "bias": {0: where(outputs)}},
        )

    def width(self, name: str) -> Mask:
        """Of a group without outputs, the inputs are not there either; or the other way round."""
        there = super().width(name)
        if name == "out_channels" and not self._by_inputs:
            return there
        other = super().width("in_channels" if name == "out_channels" else "out_channels")
        alive = other.reshape(self.groups, -1).any(axis=1)
        return there & np.repeat(alive, len(there) // self.groups)

    @property
    def _by_inputs(self) -> bool:
        """Whether the inputs alone tell which groups there are."""
        return self.transposed and self.bias is None

    def _of_each_group(self, mask: Mask, alive: Mask, what: str) -> Ids:
        """(groups left, k) the channels that each group keeps, counted within it."""
        rows = mask.reshape(self.groups, -1)[alive]
        counts = rows.sum(axis=1)
        if counts.min() != counts.max() or not counts.max():
            raise ChoiceError(
                f"The {len(rows)} groups that are left of a {type(self).__name__} with "
                f"{self.groups} groups must keep equally many {what} channels each, at least one; "
                f"they keep {', '.join(map(str, counts[:8]))}{', ...' if len(rows) > 8 else ''}."
            )
        return np.nonzero(rows)[1].reshape(len(rows), -1).astype(np.int64)


@dynamic_op(nn.Conv1d)
class DynamicConv1d(_Convolution, nn.Conv1d):
    """Convolution over (N, C, L)."""


@dynamic_op(nn.Conv2d)
class DynamicConv2d(_Convolution, nn.Conv2d):
    """Convolution over (N, C, H, W).

    Example::

        >>> DynamicConv2d(3, 8, 3)
        DynamicConv2d(
          3, 8, kernel_size=(3, 3), stride=(1, 1)
          (mutable_attrs): ModuleDict(
            (in_channels): MutableChannelContainer(num_channels=3, activated_channels=3)
            (out_channels): MutableChannelContainer(num_channels=8, activated_channels=8)
          )
        )
    """


@dynamic_op(nn.Conv3d)
class DynamicConv3d(_Convolution, nn.Conv3d):
    """Convolution over (N, C, D, H, W)."""


@dynamic_op(nn.ConvTranspose1d)
class DynamicConvTranspose1d(_Convolution, nn.ConvTranspose1d):
    """Transposed convolution over (N, C, L)."""


@dynamic_op(nn.ConvTranspose2d)
class DynamicConvTranspose2d(_Convolution, nn.ConvTranspose2d):
    """Transposed convolution over (N, C, H, W)."""


@dynamic_op(nn.ConvTranspose3d)
class DynamicConvTranspose3d(_Convolution, nn.ConvTranspose3d):
    """Transposed convolution over (N, C, D, H, W)."""
