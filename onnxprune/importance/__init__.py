"""What each channel of a unit is worth."""

from onnxprune.importance import (  # noqa: F401 - importing registers; keep alphabetical
    activation,
    distance,
    gradient,
    magnitude,
    normalization,
    obs,
    random,
)
from onnxprune.importance.evidence import Coupled, Evidence, Gradients
from onnxprune.importance.gradient import measure_gradients
from onnxprune.importance.magnitude import find_importance
from onnxprune.importance.registry import IMPORTANCES, Importance, Scores, importance

__all__ = [
    "IMPORTANCES",
    "Coupled",
    "Evidence",
    "Gradients",
    "Importance",
    "Scores",
    "find_importance",
    "importance",
    "measure_gradients",
]
