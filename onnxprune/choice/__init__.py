"""From scores and a budget to choices."""

from onnxprune.choice.choices import Choices, as_choices, read_choices
from onnxprune.choice.choose import choose, sample
from onnxprune.choice.mutator import ChannelMutator
from onnxprune.choice.refill import refill
from onnxprune.choice.schedule import cubic, linear

__all__ = [
    "ChannelMutator",
    "Choices",
    "as_choices",
    "choose",
    "cubic",
    "linear",
    "read_choices",
    "refill",
    "sample",
]
