"""Operators behind which everything stays whole, and why."""

from __future__ import annotations

from onnxprune.axes.rule import Barred
from onnxprune.ops.registry import rule
from onnxprune.ops.view import Op

_REASONS = {
    "it runs a graph over sequences of tensors": ("SequenceMap",),
    "it works on a sequence of tensors": (
        *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty"),
        *("SequenceErase", "SequenceInsert", "SequenceLength", "SplitToSequence"),
    ),
    "its tensor may be absent at run time": (
        *("Optional", "OptionalGetElement", "OptionalHasElement"),
    ),
    "it draws random numbers, which would be others for fewer entries": (
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    ),
    "it works on text or encoded images": (
        *("ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"),
        "TfIdfVectorizer",
    ),
    "it compares whole slices, and how many differ is known only at run time": ("Unique",),
    "its indices count all entries of the result, those of every channel": ("MaxUnpool",),
    "it picks boxes, and how many is known only at run time": ("NonMaxSuppression",),
    "the positions of its entries are its result": ("NonZero",),
    "the diagonal ties its rows to its columns": ("EyeLike",),
    "a determinant needs the whole matrix": ("Det",),
    "the position of each entry gives its value": (
        *("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix", "Range"),
    ),
    "it makes a grid of the size that its second input says": ("AffineGrid",),
    "it is a loss, which belongs to training": (
        *("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
    ),
}


def bar(reason: str, operators: tuple[str, ...]) -> None:
    """Register operators behind which everything stays whole.

    Args:
        reason: Why.
        operators: Their registered names.
    """

    @rule(*operators)
    def barred(op: Op) -> Barred:
        return Barred(reason)


for _reason, _operators in _REASONS.items():
    bar(_reason, _operators)
