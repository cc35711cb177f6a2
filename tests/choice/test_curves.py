"""Widths by error curves."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import proto, units_of

from onnxprune.budget import cost, cost_of_cut, macs, params, ratio
from onnxprune.choice import choose
from onnxprune.choice.scope import FLOOR
from onnxprune.errors import OnnxPruneError
from onnxprune.importance import Evidence
from onnxprune.units import Units


def _two(second: int = 20) -> Units:
    """Two inner layers of a chain."""
    random = np.random.default_rng(0)
    shapes = {"a": (4, 20), "b": (20, second), "c": (second, 3)}
    arrays = {k: random.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    return units_of(
        proto(
            """(float[N,4] x) => (float[N,3] y) {
                p = MatMul(x, a)
                q = MatMul(p, b)
                y = MatMul(q, c)
            }""",
            **arrays,
        )
    )


def _counts(units: Units) -> list[int]:
    return [int(unit.mask.sum()) for unit in units.mutable]


def _evidence(units: Units, *measured: float) -> Evidence:
    names = [unit.name for unit in units.mutable]
    return Evidence(sensitivity=dict(zip(names, measured, strict=True)))


def test_the_unit_that_matters_keeps_more() -> None:
    units = _two()
    choose(units, macs(0.5), scope="curves", evidence=_evidence(units, 1.0, 0.001))
    first, second = _counts(units)
    assert first > 15 > second
    choose(units, macs(0.5), scope="curves", evidence=_evidence(units, 0.001, 1.0))
    first, second = _counts(units)
    assert second > 15 > first


def test_the_budget_is_met_closely_and_no_unit_vanishes() -> None:
    units = _two(40)
    evidence = _evidence(units, 1.0, 1e-9)
    for fraction in (0.8, 0.5, 0.3):
        choose(units, macs(fraction), scope="curves", evidence=evidence)
        left = cost_of_cut(units.cut()).macs / cost(units.graph).macs
        assert fraction - 0.06 <= left <= fraction
        assert _counts(units)[1] >= FLOOR * 40


def test_what_a_channel_saves_counts_as_the_budget_counts() -> None:
    """Alike in what they lose, channels of the first layer of a long chain save as much as those of
    the second where a ratio counts; in MACs the wider neighbour decides."""
    units = _two(40)
    even = _evidence(units, 1.0, 1.0)
    choose(units, ratio(0.5), scope="curves", evidence=even)
    by_number = _counts(units)
    choose(units, macs(0.5), scope="curves", evidence=even)
    assert _counts(units) != by_number


def test_limits_and_protection_hold() -> None:
    units = _two()
    name = units.mutable[0].name
    choose(
        units,
        macs(0.6),
        scope="curves",
        protect=[name],
        at_least=5,
        evidence=_evidence(units, 1e-9, 1.0),
    )
    first, second = _counts(units)
    assert first == 20
    assert 5 <= second < 20


def test_it_says_what_it_needs() -> None:
    with pytest.raises(OnnxPruneError, match="give calibration inputs"):
        choose(_two(), macs(0.5), scope="curves")


def test_neither_the_order_of_budgets_nor_normalisations_matter() -> None:
    units = _two(40)
    even = _evidence(units, 1.0, 1.0)
    budgets = [macs(0.5), params(0.4)]
    choose(units, budgets, scope="curves", evidence=even)
    counts = _counts(units)
    choose(units, budgets[::-1], scope="curves", evidence=even)
    assert _counts(units) == counts
    for name in ("gaussian", "lamp", "none"):
        choose(units, budgets, scope="curves", evidence=even, normalisation=name)
        assert _counts(units) == counts
