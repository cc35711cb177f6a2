"""The scale of the normalisation that a channel goes through."""

from __future__ import annotations

import numpy as np

from onnxprune.errors import OnnxPruneError
from onnxprune.importance.evidence import Evidence
from onnxprune.importance.reduce import REDUCTIONS
from onnxprune.importance.registry import Scores, importance
from onnxprune.units import MutableChannelUnit
from onnxprune.units.channel import Channel

__all__ = ["bn_scale"]


@importance("bn-scale")
def bn_scale(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """The size of the scale of the unit's batch normalisations (Liu et al., ICCV 2017).

    Exporters fold normalisations into convolutions, and then nothing is left to look at.

    Raises:
        OnnxPruneError: If no BatchNormalization stands in the unit.
    """
    scales = [
        found
        for channel in unit.output_related
        if _is_scale(channel)
        and (found := channel.reduce(lambda w: np.abs(w).mean(axis=1))) is not None
    ]
    if not scales:
        raise OnnxPruneError(
            f"No BatchNormalization scales the unit '{unit.name}', or it was folded into a "
            f"convolution; export the model without folding, protect the unit, or take another "
            f"importance."
        )
    return REDUCTIONS.get(evidence.reduction)(np.stack(scales))


def _is_scale(channel: Channel) -> bool:
    """Whether this is the scale of a batch normalisation."""
    return any(
        node.op_type == "BatchNormalization" and index == 1 for node, index in channel.tensor.uses()
    )
