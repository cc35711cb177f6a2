"""No criterion at all: the baseline that every other one must beat."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from onnxprune.importance.registry import importance
from onnxprune.units import MutableChannelUnit


@importance("random")
def random(unit: MutableChannelUnit) -> npt.NDArray[np.float64]:
    """Random scores, the same for the same unit in every run."""
    return np.random.default_rng(zlib.crc32(unit.name.encode())).random(unit.num_channels)
