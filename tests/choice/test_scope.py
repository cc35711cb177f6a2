"""Among which channels a choice is made."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import check_pruned, proto, units_of
from small import MODELS

from onnxprune.budget import macs, params, ratio
from onnxprune.choice import choose
from onnxprune.choice.scope import SCOPES, Family, Problem, class_of, scope
from onnxprune.errors import OnnxPruneError
from onnxprune.importance import find_importance
from onnxprune.importance.reduce import NORMALISATIONS
from onnxprune.units import Units


def _three() -> Units:
    """Three inner layers of a chain of linear ones; the first has by far the largest weights."""
    random = np.random.default_rng(0)
    shapes = {"a": (4, 20), "b": (20, 20), "c": (20, 40), "d": (40, 3)}
    arrays = {k: random.lognormal(0, 2, s).astype(np.float32) for k, s in shapes.items()}
    arrays["a"] *= 1000
    return units_of(
        proto(
            """(float[N,4] x) => (float[N,3] y) {
                p = MatMul(x, a)
                q = MatMul(p, b)
                r = MatMul(q, c)
                y = MatMul(r, d)
            }""",
            **arrays,
        )
    )


def _normalised(units: Units, name: str) -> dict[str, np.ndarray]:
    score, alike = find_importance(name), NORMALISATIONS.get("mean")
    return {unit.name: alike(score(unit)) for unit in units.mutable}


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_one_threshold_for_units_that_are_alike(fraction: float) -> None:
    units = _three()
    assert len({class_of(unit) for unit in units.mutable}) == 1
    choose(units, ratio(fraction), "l2", scope="global")
    scores = _normalised(units, "l2")
    kept = [scores[unit.name][unit.mask] for unit in units.mutable]
    removed = [scores[unit.name][~unit.mask] for unit in units.mutable]
    assert np.concatenate(kept).min() >= np.concatenate(removed).max()
    assert sum(map(len, kept)) == int(80 * fraction)
    counts = [unit.current_choice / unit.num_channels for unit in units.mutable]
    assert len(set(counts)) > 1, "or it would be local"


def test_without_normalisation_the_scale_decides() -> None:
    units = _three()
    choose(units, ratio(0.5), scope="global", normalisation="none")
    assert units.mutable[0].current_choice == 20


def test_no_unit_loses_nearly_everything() -> None:
    units = _three()
    choose(units, ratio(0.26), scope="global", normalisation="none")
    assert [unit.current_choice for unit in units.mutable] == [14, 2, 4]
    choose(units, ratio(0.26), scope="global", normalisation="none", round_to=8)
    assert [unit.current_choice for unit in units.mutable] == [8, 8, 8]


def test_units_that_are_not_alike_are_not_compared() -> None:
    """Two convolutions whose channels are summed in a residual, and one that stands alone."""
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0)
            b = Conv(a, w1)
            c = Conv(b, w2)
            s = Add(a, c)
            y = Conv(s, w3)
        }""",
        "w1 10 20 1 1, w2 20 10 1 1, w3 2 20 1 1",
        w0=np.full((20, 3, 1, 1), 1e6, np.float32),
    )
    units = units_of(model)
    assert len({class_of(unit) for unit in units.mutable}) == 2
    choose(units, ratio(0.5), scope="global", normalisation="none")
    assert [unit.current_choice for unit in units.mutable] == [10, 5]


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("budget", [ratio(0.4), macs(0.8), params(0.8)])
def test_global_choices_can_be_pruned(name: str, budget: object) -> None:
    model = MODELS[name]()
    units = units_of(model)
    choose(units, budget, "l2", scope="global")  # type: ignore[arg-type]
    check_pruned(model, units)


def test_a_scope_is_one_function() -> None:
    @scope("first-of-this-test")
    def only_the_first(problem: Problem) -> Family:
        unit = problem.free[0]
        return lambda share: {unit.name: problem.best(unit, unit.num_channels * share)}

    try:
        units = _three()
        choose(units, params(0.8), scope="first-of-this-test")
        counts = [unit.current_choice for unit in units.mutable]
        assert counts[0] < 20
        assert counts[1:] == [20, 40]
    finally:
        del SCOPES._items["first-of-this-test"]


def test_scopes_that_there_are_not() -> None:
    with pytest.raises(OnnxPruneError, match="no scope 'globl'; did you mean 'global'"):
        choose(_three(), ratio(0.5), scope="globl")
    with pytest.raises(OnnxPruneError, match="no normalisation 'avg'; there are: gaussian, lamp"):
        choose(_three(), ratio(0.5), normalisation="avg")
