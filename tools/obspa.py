"""OBSPA as its paper describes it, to compare with (https://arxiv.org/abs/2403.18955, section 4).

The score of a channel sums w^2 / [H^-1]_jj over all weights that its consumers hold of it, with
H = E[x x^T] of what each consumer takes in the original; it is computed once. Then every consumer's
columns are swept from the first to the last, and what a removed one loses goes to those behind it
(the update of SparseGPT, https://arxiv.org/abs/2301.00774). Only for models without groups.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxprune.calibration.statistics import Moments, Statistics
from onnxprune.graph import Graph, with_shapes
from onnxprune.importance import Evidence, importance
from onnxprune.importance.consumers import consumers
from onnxprune.refit import find_sites, write
from onnxprune.rewrite import plan
from onnxprune.units import MutableChannelUnit, Units

DAMPING = 1e-2


@importance("obspa", needs="activations")
def scores(unit: MutableChannelUnit, evidence: Evidence) -> np.ndarray:
    """The score of the paper."""
    total = np.zeros(unit.num_channels)
    for consumer in consumers(unit, evidence.statistics):
        inverse = np.linalg.inv(_hessian(consumer.moments))
        saliency = np.square(consumer.matrix).sum(1) / np.diagonal(inverse)
        total[consumer.channels] += saliency[consumer.columns].sum(1)
    return total


def update(units: Units, pruned: Graph, statistics: Statistics) -> Graph:
    """The pruned model with weights that were updated by the paper's sweep."""
    model = pruned.model.clone()
    small, slices = with_shapes(model, pruned.source), plan(units).slices
    for site in find_sites(units, small):
        weight = site.dense.inputs[site.dense_form.weight]
        moments = statistics.moments.get(str(site.dense.name))
        kept = slices.get(weight.name, {})
        columns = kept.get(site.form.weight_axis)
        if moments is None or columns is None or site.form.groups > 1:
            continue
        stays = np.zeros(moments.mean.shape[1] // site.form.owned, bool)
        stays[columns] = True
        matrix = _sliced_results(weight, kept, site)
        swept = _sweep(matrix, _hessian(moments), np.repeat(stays, site.form.owned))
        shape = site.weight.const_value.shape.numpy()
        write(
            model, [(site.small, site.form.weight)], site.form.stored(swept[None], shape), "obspa"
        )
    return Graph(model, pruned.source, small.dims, small.numbers)


def _sliced_results(weight: ir.Value, kept: dict, site: object) -> np.ndarray:
    array = weight.const_value.numpy().astype(np.float64)
    for axis, indices in kept.items():
        if axis != site.form.weight_axis:
            array = np.take(array, indices, axis)
    return site.dense_form.matrix(array)[0]


def _hessian(moments: Moments) -> np.ndarray:
    hessian = moments.covariance[0] + np.outer(moments.mean[0], moments.mean[0])
    return hessian + DAMPING * np.diagonal(hessian).mean() * np.eye(len(hessian))


def _sweep(matrix: np.ndarray, hessian: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """(kept columns, results) after the sweep."""
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    matrix = matrix.copy()
    for j in np.flatnonzero(~stays):
        matrix[j:] -= np.outer(upper[j, j:], matrix[j] / upper[j, j])
    return matrix[stays]
