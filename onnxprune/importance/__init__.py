"""What each channel of a unit is worth."""

from onnxprune.importance import magnitude, random  # noqa: F401 - importing registers
from onnxprune.importance.registry import IMPORTANCES, importance

__all__ = ["IMPORTANCES", "importance"]
