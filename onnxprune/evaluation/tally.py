"""Sums over the samples of an evaluation, batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.evaluation.result import Accuracy, Fidelity, Share

__all__ = ["AccuracyTally", "FidelityTally", "finite"]

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
TOP = 5
BLOCK = 4_000_000
"""So many elements are compared at once, in float64."""
TINY = float(np.finfo(np.float32).tiny)
SUM_TOLERANCE = 1e-3  # of probabilities in half precision


def finite(answer: Floats) -> Bools:
    """Which samples, (n,), have only finite elements in an answer (n, ...)."""
    return np.asarray(np.isfinite(answer).reshape(len(answer), -1).all(axis=1))


class AccuracyTally:
    """Counts answers whose label is among the largest classes."""

    def __init__(self) -> None:
        self._total = self._top1 = self._top5 = self._classes = 0

    def add(self, answer: Floats, labels: npt.NDArray[np.int64]) -> None:
        """Count a batch.

        Args:
            answer: (n, classes).
            labels: (n,), each below the number of classes.
        """
        chosen = np.take_along_axis(answer, labels[:, None], 1)
        first = np.arange(answer.shape[1]) < labels[:, None]
        place = ((answer > chosen) | ((answer == chosen) & first)).sum(1)
        usable = finite(answer)
        self._total += len(answer)
        self._classes = answer.shape[1]
        self._top1 += int((usable & (place < 1)).sum())
        self._top5 += int((usable & (place < TOP)).sum())

    def result(self) -> Accuracy:
        """What was counted."""
        top5 = Share(self._top5, self._total) if self._classes > TOP else None
        return Accuracy(Share(self._top1, self._total), top5)


class FidelityTally:
    """Compares answers with the original's.

    Args:
        classes: Whether the last axis of answers is that of classes.

    Attributes:
        probabilities: Whether the original's first answers are probabilities: nothing negative,
            each sum 1.
    """

    def __init__(self, classes: bool) -> None:
        self._classes = classes
        self.probabilities: bool | None = None
        self._positions = self._agreeing = 0
        self._samples = self._not_finite = 0
        self._cosine = self._kl = self._l2 = self._worst = 0.0

    def add(self, answer: Floats, original: Floats) -> None:
        """Compare a batch; both are (n, ...) of the same shape."""
        rows = max(1, BLOCK // max(1, answer[0].size))
        for start in range(0, len(answer), rows):
            self._add(answer[start : start + rows], original[start : start + rows])

    def result(self) -> Fidelity:
        """What was found."""
        agreement = Share(self._agreeing, self._positions) if self._classes else None

        def mean(total: float) -> float | None:
            return total / self._samples if self._samples else None

        return Fidelity(
            agreement=agreement,
            cosine=mean(self._cosine),
            kl=mean(self._kl) if self._classes else None,
            l2=mean(self._l2),
            worst_l2=self._worst if self._samples else None,
            not_finite=self._not_finite,
        )

    def _add(self, answer: Floats, original: Floats) -> None:
        usable, sound = finite(answer), finite(original)
        self._not_finite += int((~sound).sum())
        both = usable & sound
        if self._classes:
            self._count_agreement(answer, original, both)
        answer, original = answer[both].astype(np.float64), original[both].astype(np.float64)
        if not len(answer):
            return
        self._samples += len(answer)
        flat, flat_original = answer.reshape(len(answer), -1), original.reshape(len(answer), -1)
        self._add_distances(flat, flat_original)
        if self._classes:
            if self.probabilities is None:
                self.probabilities = _are_probabilities(original)
            self._kl += float(self._divergence(answer, original).sum())

    def _count_agreement(self, answer: Floats, original: Floats, both: Bools) -> None:
        self._positions += answer.size // answer.shape[-1]
        same = answer[both].argmax(-1) == original[both].argmax(-1)
        self._agreeing += int(same.sum())

    def _add_distances(self, answer: Floats, original: Floats) -> None:
        norm, norm_original = np.linalg.norm(answer, axis=1), np.linalg.norm(original, axis=1)
        product = norm * norm_original
        dot = (answer * original).sum(1)
        both_zero = (norm == 0) & (norm_original == 0)
        cosine = np.divide(dot, product, out=both_zero.astype(float), where=product > 0)
        difference = np.linalg.norm(answer - original, axis=1)
        otherwise = np.where(difference == 0, 0.0, np.inf)
        l2 = np.divide(difference, norm_original, out=otherwise, where=norm_original > 0)
        self._cosine += float(np.clip(cosine, -1, 1).sum())
        self._l2 += float(l2.sum())
        self._worst = max(self._worst, float(l2.max()))

    def _divergence(self, answer: Floats, original: Floats) -> Floats:
        """The mean KL(original || answer) over the positions of every sample, (n,)."""
        if self.probabilities:
            p = np.maximum(original, 0)
            log_p, log_q = np.log(np.maximum(p, TINY)), np.log(np.maximum(answer, TINY))
        else:
            log_p, log_q = _log_softmax(original), _log_softmax(answer)
            p = np.exp(log_p)
        divergence = (p * (log_p - log_q)).sum(-1)
        mean: Floats = divergence.reshape(len(answer), -1).mean(1)
        return mean


def _are_probabilities(answer: Floats) -> bool:
    sums = answer.sum(-1)
    return bool((answer >= 0).all() and (np.abs(sums - 1) <= SUM_TOLERANCE).all())


def _log_softmax(values: Floats) -> Floats:
    shifted = values - values.max(-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result
