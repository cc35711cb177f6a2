"""The optimal brain surgeon: what the outputs of a unit's consumers lose with each channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.importance.consumers import Consumer, consumers, pair_errors, unmeasured
from onnxprune.importance.evidence import Evidence
from onnxprune.importance.registry import importance
from onnxprune.units import MutableChannelUnit

__all__ = ["obs"]

Doubles = npt.NDArray[np.float64]

_DAMPING = 1e-3
"""Of the mean variance of the columns."""


@importance("obs", needs="activations", cumulative=True)
def obs(unit: MutableChannelUnit, evidence: Evidence) -> Doubles:
    """The error of all consumers, as a part of what they give, when channels go one after another.

    The least important channel goes first, the weights of the others make up for it as well as
    they can, and so on: optimal brain surgeon in blocks (Hassibi & Stork, NIPS 1992; Kurtic et al.,
    ZipLM, NeurIPS 2023, https://arxiv.org/abs/2302.04089), summed over all consumers of a unit.
    The score of a channel is the error so far when it goes, so sorted scores are an error curve.
    Queries and keys of fewer channels can be mixtures of all that there are, so only the number of
    channels counts there, not which of them go.
    """
    assert evidence.statistics is not None
    surgeons = [_surgeon(consumer) for consumer in consumers(unit, evidence.statistics)]
    errors = pair_errors(unit, evidence.statistics)
    if not surgeons:
        scores = unmeasured(unit, evidence)
        return scores if errors is None else errors[_ranks(scores)]
    left = np.ones(unit.num_channels, bool)
    scores, error = np.zeros(unit.num_channels), 0.0
    for _ in range(unit.num_channels):
        costs = np.zeros(unit.num_channels)
        for surgeon in surgeons:
            costs[surgeon.consumer.channels] += surgeon.costs(left)
        channel = int(np.argmin(np.where(left, costs, np.inf)))
        error += float(costs[channel])
        scores[channel] = error
        left[channel] = False
        for surgeon in surgeons:
            surgeon.remove(channel)
    return scores if errors is None else scores + errors[_ranks(scores)]


def _ranks(scores: Doubles) -> Ids:
    return np.argsort(np.argsort(scores, kind="stable"))


def _surgeon(consumer: Consumer) -> _Apart:
    covariance = consumer.covariance
    return _Apart(consumer) if covariance is None else _Surgeon(consumer, covariance)


class _Apart:
    """One consumer of which only variances are known: no channel makes up for another."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        variance = consumer.moments.variance
        damping = _DAMPING * max(float(variance[consumer.group].mean()), 1e-12)
        whole = variance[consumer.group] @ np.square(consumer.matrix).sum(axis=1)
        self._costs = consumer.spread(variance + damping) / max(float(whole), 1e-12)

    def costs(self, left: npt.NDArray[np.bool_]) -> Doubles:
        """(n,) the error that each of its channels would leave now; 0 for those that are gone."""
        return np.where(left[self.consumer.channels], self._costs, 0)

    def remove(self, channel: int) -> None:
        """Let a channel go."""


class _Surgeon(_Apart):
    """The matrix of one consumer and the inverse covariance of its columns, as channels go."""

    def __init__(self, consumer: Consumer, covariance: Doubles) -> None:
        self.consumer = consumer
        variance = np.diagonal(covariance)
        damping = _DAMPING * max(float(variance.mean()), 1e-12)
        self._inverse = np.linalg.inv(covariance + damping * np.eye(len(covariance)))
        self._matrix = consumer.matrix.copy()
        whole = np.einsum("ko,ko->", self._matrix, covariance @ self._matrix)
        self._whole = max(float(whole), 1e-12)
        self._place = {int(channel): i for i, channel in enumerate(consumer.channels)}

    def costs(self, left: npt.NDArray[np.bool_]) -> Doubles:
        """(n,) the error that each of its channels would leave now; 0 for those that are gone."""
        alive = np.flatnonzero(left[self.consumer.channels])
        columns = self.consumer.columns[alive]
        blocks = self._inverse[columns[:, :, None], columns[:, None, :]]
        weights = self._matrix[columns]
        costs = np.zeros(len(self.consumer.channels))
        solved = np.linalg.solve(blocks, weights)
        costs[alive] = np.maximum((weights * solved).sum(axis=(1, 2)), 0) / self._whole
        return costs

    def remove(self, channel: int) -> None:
        """Let a channel go, the others making up for it."""
        place = self._place.get(channel)
        if place is None:
            return
        columns = self.consumer.columns[place]
        block = self._inverse[np.ix_(columns, columns)]
        spread = np.linalg.solve(block, self._inverse[columns]).T
        self._matrix -= spread @ self._matrix[columns]
        self._inverse -= spread @ self._inverse[columns]
        self._matrix[columns] = 0
        self._inverse[columns] = 0
        self._inverse[:, columns] = 0
