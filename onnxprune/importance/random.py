"""No criterion at all: the baseline that every other one must beat."""

from __future__ import annotations

import zlib

import numpy as np

from onnxprune.importance.evidence import Evidence
from onnxprune.importance.registry import Scores, importance
from onnxprune.units import MutableChannelUnit

__all__ = ["random"]


@importance("random")
def random(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """Random scores, the same for the same unit in every run."""
    return np.random.default_rng(zlib.crc32(unit.name.encode())).random(unit.num_channels)
