"""Recovery without training: weights fitted anew to what the original computes."""

from onnxprune.refit.merge import merge
from onnxprune.refit.methods import METHODS
from onnxprune.refit.options import Options
from onnxprune.refit.refit import Refit, refit
from onnxprune.refit.sensitivity import sensitivity
from onnxprune.refit.sites import find_sites
from onnxprune.refit.write import MARK, marks, write

__all__ = [
    "MARK",
    "METHODS",
    "Options",
    "Refit",
    "find_sites",
    "marks",
    "merge",
    "refit",
    "sensitivity",
    "write",
]
