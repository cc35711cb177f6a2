"""The optional torch wing: an ONNX graph run in torch, and the masked twin of a pruned model."""

from onnxprune.torch.errors import BadFeeds, BadRemoval, LeakError, UnsupportedOperator
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import Masked
from onnxprune.torch.twin import masked_twin

__all__ = [
    "BadFeeds",
    "BadRemoval",
    "Interpreter",
    "LeakError",
    "Masked",
    "UnsupportedOperator",
    "masked_twin",
]
