"""From scores and a budget to choices."""

from onnxprune.choice.choices import Choices, read_choices
from onnxprune.choice.choose import choose, sample

__all__ = ["Choices", "choose", "read_choices", "sample"]
