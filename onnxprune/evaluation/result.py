"""What an evaluation found."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Accuracy", "Evaluation", "Fidelity", "Share"]

Z = 1.959963984540054
"""Within so many standard deviations lie 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at 95 % (1927, Journal of the American Statistical Association).

        It holds for samples that were drawn independently of each other.
        """
        n, share = self.total, self.value
        scale = 1 + Z * Z / n
        middle = (share + Z * Z / (2 * n)) / scale
        half = Z / scale * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the label is the largest class, or one of the five largest.

    Of equal classes the one of the lower index is larger, as for an arg max; an answer that is not
    finite is wrong.

    Attributes:
        top1: Of all samples.
        top5: Of all samples, None where there are no more than five classes.
    """

    top1: Share
    top5: Share | None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How near the answers are to those of the original.

    Means are over the samples whose answers are finite in both models, None if there are none.

    Attributes:
        agreement: Positions (one a sample, if the output is of rank 2) whose arg max over the
            classes is the same; None without classes. Where an answer is not finite it is not.
        cosine: The mean cosine between the answers to a sample, -1 to 1.
        kl: The mean KL(original || model) of the classes' probabilities at a position, in nats.
        l2: The mean of |answer - original| / |original|, Euclidean norms over a sample.
        worst_l2: The largest of these; infinite if an original is all zero and the answer is not.
        not_finite: Samples for which the original's answer is not finite.
    """

    agreement: Share | None
    cosine: float | None
    kl: float | None
    l2: float | None
    worst_l2: float | None
    not_finite: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model answers.

    Attributes:
        samples: How many samples were run.
        origin: What they are.
        output: The output that was looked at.
        shape: The shape of its answer to one sample, that of the first batch.
        axis: The axis of the classes in `shape`, None if there are none.
        probabilities: Whether the original's outputs are probabilities themselves; otherwise they
            are made so by a softmax, for the divergence. False without an original.
        not_finite: Samples for which the model's answer holds NaN or an infinity.
        accuracy: Against labels, None without.
        fidelity: Against the original, None without.
    """

    samples: int
    origin: str
    output: str
    shape: tuple[int, ...]
    axis: int | None
    probabilities: bool
    not_finite: int
    accuracy: Accuracy | None
    fidelity: Fidelity | None
