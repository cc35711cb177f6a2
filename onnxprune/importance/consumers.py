"""The products that a unit's channels flow into, as blocks of rows of their matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.calibration.statistics import Moments, Statistics
from onnxprune.importance.evidence import Evidence
from onnxprune.units import Channel, MutableChannelUnit

__all__ = ["Consumer", "consumers", "pair_errors", "unmeasured"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Consumer:
    """One group of one product that takes channels of a unit.

    Attributes:
        moments: Of the product.
        group: The group.
        matrix: (columns, results) its matrix.
        channels: (n,) the channels of the unit that it takes.
        columns: (n, owned) the columns that each of them owns.
    """

    moments: Moments
    group: int
    matrix: npt.NDArray[np.floating]
    channels: Ids
    columns: Ids

    @property
    def covariance(self) -> Doubles | None:
        """(columns, columns) how columns vary together, None where only variances were kept."""
        covariance = self.moments.covariance
        return None if covariance is None else np.asarray(covariance[self.group])

    def spread(self, of_columns: Doubles) -> Doubles:
        """(n,) the sum over a channel's columns of their moment and their squared weights.

        Args:
            of_columns: (groups, columns) a moment.
        """
        weights = np.square(self.matrix).sum(axis=1)
        return np.asarray((of_columns[self.group] * weights)[self.columns].sum(axis=1))


def consumers(unit: MutableChannelUnit, statistics: Statistics) -> Iterator[Consumer]:
    """The products of a unit that something was measured of, group by group."""
    for channel in unit.input_related:
        moments = statistics.moments.get(channel.node)
        constant = channel.tensor.const_value
        if moments is None or constant is None or channel.axis != moments.form.weight_axis:
            continue
        if len(constant.shape) == 1:
            continue  # the bias of the same node
        matrices = moments.form.matrix(constant.numpy().astype(np.float64))
        yield from _by_group(channel, moments, matrices)


def unmeasured(unit: MutableChannelUnit, evidence: Evidence) -> Doubles:
    """(num_channels,) scores of a unit whose consumers are no products: the size of its weights."""
    return evidence.reduced(unit, lambda weights: np.square(weights).mean(axis=1))


def pair_errors(unit: MutableChannelUnit, statistics: Statistics) -> Doubles | None:
    """(num_channels,) what products of queries and keys lose with 1, 2, ... channels of heads.

    None where the channels of the unit are not those of heads of such pairs.
    """
    found = [
        pair.errors()
        for pair in statistics.pairs
        for channel in unit.output_related
        if channel.node == pair.query and channel.num_channels == pair.queries.shape[1]
        if (np.isin(pair.queries, channel.positions[0]).sum(axis=1) == 1).all()
    ]
    return np.sum(found, axis=0) if found else None


def _by_group(
    channel: Channel, moments: Moments, matrices: npt.NDArray[np.floating]
) -> Iterator[Consumer]:
    size = moments.mean.shape[1] // moments.form.owned
    groups, columns = moments.form.columns(channel.positions, size)
    groups, columns = (a.reshape(len(channel.positions), -1) for a in (groups, columns))
    for group in np.unique(groups):
        inside = groups == group
        own = np.flatnonzero(inside.any(axis=1))
        counts = inside[own].sum(axis=1)
        if len(set(counts.tolist())) == 1:
            owned = columns[own][inside[own]].reshape(len(own), -1)
            yield Consumer(moments, int(group), matrices[group], own, owned)
