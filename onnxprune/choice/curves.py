"""Allocation by error curves: channels go where they cost the answer least for what they save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from onnxprune.budget import parts_of_cut
from onnxprune.choice.scope import FLOOR, Family, Mask, Problem, scope
from onnxprune.errors import OnnxPruneError
from onnxprune.units import MutableChannelUnit

__all__ = ["curves"]

_USUAL = 0.7
"""The ratio at which it is measured what a channel costs: that depends on the units around it."""


@scope("curves")
def curves(problem: Problem) -> Family:
    """All units compete: the channel goes next whose error is least for what it saves.

    The sorted scores of a unit are its error curve (``obs``), or sum up to it. It is scaled so
    that it gives at half of the channels what was measured there of the model's answers, because
    errors inside of a model are no common currency. What a channel saves is counted in what the
    budget counts. No unit keeps less than a tenth of its channels.
    """
    sensitivity = problem.evidence.sensitivity
    if sensitivity is None:
        raise OnnxPruneError(
            "The scope 'curves' compares units by what the model's answers lose; give calibration "
            "inputs to measure it with, or an Evidence with sensitivity."
        )
    prices = _prices(problem)
    levels = {
        unit.name: _densities(problem, unit, sensitivity[unit.name], prices[unit.name])
        for unit in problem.free
    }
    order = np.sort(np.concatenate(list(levels.values())))[::-1]

    def family(ratio: float) -> dict[str, Mask]:
        place = min(int(len(order) * ratio + 1e-9), len(order) - 1)
        return {
            unit.name: problem.best(unit, int((levels[unit.name] >= order[place]).sum()))
            for unit in problem.free
        }

    return family


def _densities(
    problem: Problem, unit: MutableChannelUnit, measured: float, price: float
) -> npt.NDArray[np.float64]:
    """(num_channels,) the error of each channel, the worst one first to go, for what it saves."""
    scores = np.sort(problem.scores[unit.name])
    steps = np.diff(scores, prepend=0.0) if problem.cumulative else scores
    steps = np.maximum.accumulate(steps)
    half = len(steps) - max(1, len(steps) // 2)
    scale = measured / max(float(steps[:half].sum()), 1e-300)
    densities = scale * steps / max(price, 1e-300)
    least = max(problem.limits.range(unit)[0], math.ceil(FLOOR * len(steps)))
    densities[len(steps) - least :] = np.inf
    return densities


def _prices(problem: Problem) -> Mapping[str, float]:
    """Unit -> what one of its channels costs where all units keep the usual ratio.

    Of several budgets, each counted in parts of what is there, the sum.
    """
    costs = sorted({budget.of for budget in problem.budgets} - {"ratio"})
    if not costs:
        return {unit.name: 1.0 for unit in problem.free}
    usual = {unit.name: problem.best(unit, _USUAL * unit.num_channels) for unit in problem.free}
    for unit in problem.free:
        unit.set_mask(usual[unit.name])
    whole = _costs(problem, costs)
    prices = {}
    for unit in problem.free:
        fewer = problem.best(unit, 0.5 * _USUAL * unit.num_channels)
        unit.set_mask(fewer)
        saved = int(usual[unit.name].sum() - fewer.sum())
        parts = 1 - _costs(problem, costs) / np.maximum(whole, 1e-300)
        prices[unit.name] = float(parts.sum()) / max(saved, 1)
        unit.set_mask(usual[unit.name])
    problem.units.reset()
    return prices


def _costs(problem: Problem, costs: Sequence[str]) -> npt.NDArray[np.float64]:
    """(costs,) what the units as they are now cost."""
    cut = problem.units.cut()
    return np.array([float(sum(n for _, n in parts_of_cut(of, cut))) for of in costs])
