"""What rules are known to leave out: axes that could lose indices and are kept whole all the same.

`onnxprune rules --check` looks for such axes. One that no limit covers is a rule to be mended, or a
limit to be written down here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Limit", "limits_of"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that rules are known not to claim.

    Attributes:
        operators: The operators.
        where: Which of their axes, or when, in words.
        reason: Why they stay whole.
        barred: Whether it is about nodes that the rule bars, else about single axes of others.
        at: (operand, axis), None for any.
    """

    operators: tuple[str, ...]
    where: str
    reason: str
    barred: bool = False
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def limits_of(operator: str) -> list[Limit]:
    """The limits of an operator.

    Args:
        operator: Its registered name.
    """
    return [limit for limit in LIMITS if operator in limit.operators]


LIMITS = (
    Limit(
        ("BatchNormalization", "Dropout"),
        "in training mode",
        "a model that is still being trained is not pruned here",
        barred=True,
    ),
    Limit(("SoftmaxCrossEntropyLoss",), "everywhere", "a loss belongs to training", barred=True),
    Limit(
        ("CastLike", "CausalConvWithState"),
        "next to an empty tensor",
        "nothing is said of nodes with empty tensors",
        barred=True,
    ),
    Limit(
        ("CenterCropPad",),
        "an axis that has the size it is cropped or padded to",
        "the size is asked for all the same",
    ),
    Limit(
        ("Resize",),
        "an axis that is resampled to the size it has",
        "whether every entry comes from its own place depends on the mode",
    ),
    Limit(
        ("Col2Im",),
        "the blocks, where they are whole rows of the image",
        "spatial axes stay whole",
        at=(0, 2),
    ),
    Limit(
        ("Hardmax",),
        "the axis along which it finds the largest entry",
        "without that entry it would find another",
    ),
    Limit(
        ("com.microsoft::Inverse",),
        "the rows and columns",
        "the inverse of a part of a matrix is no part of its inverse",
    ),
    Limit(
        ("ai.onnx.ml::ArrayFeatureExtractor", "ai.onnx.ml::TreeEnsemble"),
        "rows",
        "they are what is fed at once, and their number is no matter of the model",
        barred=True,
    ),
    Limit(("Det",), "a batch of matrices", "it is not told from the matrices", barred=True),
    Limit(
        ("AffineGrid", "NonMaxSuppression"),
        "coordinates",
        "a point or box is one whole",
        barred=True,
    ),
    Limit(
        ("OptionalGetElement", "OptionalHasElement"),
        "a tensor that may be absent",
        "whether it is there is known only at run time",
        barred=True,
    ),
    Limit(
        ("com.microsoft::MoE",),
        "the size of its tokens",
        "its result has the size of what it is given, which it sums over as well",
    ),
    Limit(
        ("Unique",), "everywhere", "how many slices differ is known only at run time", barred=True
    ),
)
