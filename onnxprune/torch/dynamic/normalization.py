"""Normalisations. Statistics are always taken over the channels that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import nn

from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic.container import Ids, Mask
from onnxprune.torch.dynamic.cuts import Cut, where
from onnxprune.torch.dynamic.op import DynamicOp, Sites, dynamic_op, straight

__all__ = [
    "DynamicBatchNorm1d",
    "DynamicBatchNorm2d",
    "DynamicBatchNorm3d",
    "DynamicGroupNorm",
    "DynamicInstanceNorm1d",
    "DynamicInstanceNorm2d",
    "DynamicInstanceNorm3d",
    "DynamicLayerNorm",
    "DynamicRMSNorm",
    "DynamicSyncBatchNorm",
]

TENSORS = ("weight", "bias", "running_mean", "running_var")


def _kept_picks(names: tuple[str, ...], mask: Mask) -> dict[str, dict[int, Ids]]:
    """The picks of parameters that all have their channels on axis 0."""
    return {name: {0: where(mask)} for name in names}


class _ChannelNorm(DynamicOp):
    """A norm whose parameters and running statistics are all of (channels,)."""

    input_attr = "num_features"
    output_attr = "num_features"
    num_features: int

    def widths(self) -> Mapping[str, int]:
        """The channels."""
        return {"num_features": self.num_features}

    def sites(self, grouped: bool) -> Sites:
        """Parameters and running statistics of (channels,)."""
        (size,) = self.widths().values()
        return {(name, 0): {"num_features": straight(size)} for name in TENSORS}

    def input_axes(self) -> Mapping[str, int]:
        """Axis 1."""
        return {"num_features": 1}

    def output_axes(self) -> Mapping[str, int]:
        """That of the input."""
        return self.input_axes()

    def cut(self) -> Cut:
        """The norm of the channels that are left.

        Raises:
            ChoiceError: If there are none.
        """
        mask = self.mask("num_features")
        return Cut(
            kept={"num_features": mask},
            attributes={"num_features": int(mask.sum())},
            picks=_kept_picks(TENSORS, mask),
        )


class _InstanceNorm(_ChannelNorm):
    """The batch axis may be missing, so the axes are counted from the end."""

    spatial: ClassVar[int]

    def input_axes(self) -> Mapping[str, int]:
        """The axis before the spatial ones."""
        return {"num_features": -self.spatial - 1}


@dynamic_op(nn.BatchNorm1d)
class DynamicBatchNorm1d(_ChannelNorm, nn.BatchNorm1d):
    """Batch normalisation of (N, C) or (N, C, L)."""


@dynamic_op(nn.BatchNorm2d)
class DynamicBatchNorm2d(_ChannelNorm, nn.BatchNorm2d):
    """Batch normalisation of (N, C, H, W)."""


@dynamic_op(nn.BatchNorm3d)
class DynamicBatchNorm3d(_ChannelNorm, nn.BatchNorm3d):
    """Batch normalisation of (N, C, D, H, W)."""


@dynamic_op(nn.SyncBatchNorm)
class DynamicSyncBatchNorm(_ChannelNorm, nn.SyncBatchNorm):
    """Batch normalisation over several processes, of (N, C, ...)."""


@dynamic_op(nn.InstanceNorm1d)
class DynamicInstanceNorm1d(_InstanceNorm, nn.InstanceNorm1d):
    """Instance normalisation of (N, C, L)."""

    spatial = 1


@dynamic_op(nn.InstanceNorm2d)
class DynamicInstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    """Instance normalisation of (N, C, H, W)."""

    spatial = 2


@dynamic_op(nn.InstanceNorm3d)
class DynamicInstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    """Instance normalisation of (N, C, D, H, W)."""

    spatial = 3


@dynamic_op(nn.GroupNorm)
class DynamicGroupNorm(_ChannelNorm, nn.GroupNorm):
    """Group normalisation of (N, C, ...). Groups that are gone as a whole disappear."""

    def widths(self) -> Mapping[str, int]:
        """The channels."""
        return {"num_features": self.num_channels}

    def cut(self) -> Cut:
        """The norm of the groups that are left.

        Raises:
            ChoiceError: If these do not keep equally many channels, or none is left.
        """
        mask = self.mask("num_features")
        counts = mask.reshape(self.num_groups, -1).sum(axis=1)
        counts = counts[counts > 0]
        if counts.min() != counts.max():
            raise ChoiceError(
                f"The {len(counts)} groups that are left of a {type(self).__name__} with "
                f"{self.num_groups} groups must keep equally many channels each; they keep "
                f"{', '.join(map(str, counts[:8]))}{', ...' if len(counts) > 8 else ''}."
            )
        return Cut(
            kept={"num_features": mask},
            attributes={"num_channels": int(mask.sum()), "num_groups": len(counts)},
            picks=_kept_picks(("weight", "bias"), mask),
        )


class _LastAxesNorm(DynamicOp):
    """A norm over the last axes. Each has a container: `num_features`, or with several of them
    `num_features_0`, `num_features_1` and so on."""

    input_attr = "num_features"
    output_attr = "num_features"
    normalized_shape: tuple[int, ...]

    def widths(self) -> Mapping[str, int]:
        """The sizes of the last axes."""
        if len(self.normalized_shape) == 1:
            return {"num_features": self.normalized_shape[0]}
        return {f"num_features_{i}": size for i, size in enumerate(self.normalized_shape)}

    def sites(self, grouped: bool) -> Sites:
        """Parameters of the shape of these axes."""
        return {
            (tensor, axis): {name: straight(size)}
            for tensor in ("weight", "bias")
            for axis, (name, size) in enumerate(self.widths().items())
            if hasattr(self, tensor)
        }

    def input_axes(self) -> Mapping[str, int]:
        """The last axes."""
        return {name: i - len(self.mutable_attrs) for i, name in enumerate(self.mutable_attrs)}

    def output_axes(self) -> Mapping[str, int]:
        """The last axes."""
        return self.input_axes()

    def cut(self) -> Cut:
        """The norm of what is left of these axes.

        Raises:
            ChoiceError: If nothing is left of one.
        """
        kept = {name: self.mask(name) for name in self.widths()}
        pick = {axis: where(mask) for axis, mask in enumerate(kept.values())}
        return Cut(
            kept=kept,
            attributes={"normalized_shape": tuple(int(np.sum(mask)) for mask in kept.values())},
            picks={"weight": pick, "bias": pick},
        )


@dynamic_op(nn.LayerNorm)
class DynamicLayerNorm(_LastAxesNorm, nn.LayerNorm):
    """Layer normalisation of (..., *normalized_shape)."""


@dynamic_op(nn.RMSNorm)
class DynamicRMSNorm(_LastAxesNorm, nn.RMSNorm):
    """Root mean square normalisation of (..., *normalized_shape)."""
