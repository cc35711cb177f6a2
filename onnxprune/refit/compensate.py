"""One-shot least squares from what was measured already, without running anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onnxprune.axes.cut import Cut
from onnxprune.calibration.statistics import Moments, Statistics
from onnxprune.graph import Graph, with_shapes
from onnxprune.refit.normal import solved
from onnxprune.refit.sites import Site, bias_of, dense_matrix, find_sites, small_matrix
from onnxprune.refit.turn import find_turns
from onnxprune.refit.write import write
from onnxprune.rewrite import plan
from onnxprune.units import Units

__all__ = ["compensate"]

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_RIDGE = 1e-3


def compensate(units: Units, pruned: Graph, statistics: Statistics) -> Graph:
    """Let the weights that take fewer channels make up for those that are gone.

    With the covariance C of what a node takes, the columns S that stay and P that go, the matrix W
    becomes W_S + C_SS^-1 C_SP W_P, and the bias takes what is left of the mean. Nodes of which no
    covariance was measured keep their sliced weights.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        pruned: The smaller model; it is not changed.
        statistics: What was measured of the original, with covariances.
    """
    model = pruned.model.clone()
    small, cut, slices = with_shapes(model, pruned.source), units.cut(), plan(units).slices
    for site in find_sites(units, small, find_turns(units, statistics.pairs)):
        moments = statistics.moments.get(str(site.dense.name))
        stays = None if moments is None else _columns(units, cut, site, moments)
        offset = np.zeros(0)
        if moments is not None and moments.covariance is not None and stays is not None:
            if not site.alone:
                continue
            whole, parts = dense_matrix(site, slices), []
            for mean, covariance, matrix, kept in zip(
                moments.mean, moments.covariance, whole, stays, strict=True
            ):
                across = covariance[np.ix_(kept, ~kept)] @ matrix[~kept]
                parts.append(matrix[kept] + solved(covariance[np.ix_(kept, kept)], across, _RIDGE))
                offset = np.append(offset, mean @ matrix - mean[kept] @ parts[-1])
            found = np.stack(parts)
        elif site.turn is not None:
            found = small_matrix(site, slices)
            offset = np.zeros(found.shape[2])
        else:
            continue
        old = site.weight.const_value
        assert old is not None
        fitted = site.form.stored(found, old.shape.numpy())
        write(model, [(site.small, site.form.weight)], fitted, "one-shot")
        if site.bias is not None:
            write(model, [site.bias], bias_of(site) + offset, "one-shot")
    return Graph(model, pruned.source, small.dims, small.numbers)


def _columns(units: Units, cut: Cut, site: Site, moments: Moments) -> Mask | None:
    """(groups, columns) which columns stay; None if none go, or groups go as a whole."""
    shape = units.graph.shape(site.dense_data)
    axes = dict(cut.axes(site.dense_data))
    axis = None if shape is None else axes.get(site.form.channels % len(shape))
    mask = None if axis is None else cut.mask(axis)
    if mask is None or site.form.groups != site.dense_form.groups:
        return None
    stays = np.repeat(mask.reshape(site.form.groups, -1), site.form.owned, axis=1)
    equal = len(set(stays.sum(axis=1).tolist())) == 1
    return stays if equal and stays.shape == moments.mean.shape else None
