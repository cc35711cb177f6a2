"""Where importances register: functions from a unit to (num_channels,) scores, higher is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from onnxprune.registry import Registry
from onnxprune.units import MutableChannelUnit

__all__ = ["IMPORTANCES", "importance"]

Importance = Callable[[MutableChannelUnit], npt.NDArray[np.float64]]

IMPORTANCES: Registry[Importance] = Registry("importance")
importance = IMPORTANCES.register
