"""From scores and a budget to choices."""

from onnxprune.choice.choices import Choices, as_choices, read_choices
from onnxprune.choice.choose import choose, refill, sample
from onnxprune.choice.mutator import ChannelMutator

__all__ = ["ChannelMutator", "Choices", "as_choices", "choose", "read_choices", "refill", "sample"]
