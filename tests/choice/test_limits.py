"""How many channels units keep: bounds, multiples, groups."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import units_of
from small import MODELS

from onnxprune.budget import macs, ratio
from onnxprune.choice import choose
from onnxprune.errors import BudgetError, ChoiceError, OnnxPruneError
from onnxprune.units import Units


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["chain"]())


def _counts(units: Units) -> list[int]:
    return [unit.current_choice for unit in units.mutable]


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(
    ("fraction", "limits", "counts"),
    [
        (0.01, {"at_least": 0.25}, [2, 4]),
        (0.01, {"at_least": 0.3}, [3, 5]),
        (0.01, {"at_least": 5}, [5, 5]),
        (0.01, {"at_least": 12}, [8, 12]),
        (0.01, {"at_least": 0.3, "round_to": 4}, [4, 8]),
        (0.5, {"at_least": {"net.conv1": 0.9}}, [4, 15]),
        (0.5, {"at_least": {"*": 5, "*conv1*": 1}}, [5, 8]),
        (1.0, {"at_most": 0.5}, [4, 8]),
        (1.0, {"at_most": 3}, [3, 3]),
        (1.0, {"at_most": {"*conv0*": 0.25}}, [2, 16]),
        (1.0, {"at_most": 0.9, "round_to": 4}, [4, 12]),
        (0.25, {"at_most": 0.75, "at_least": 0.5}, [4, 8]),
        (0.5, {"at_most": 0.1, "round_to": 4}, [4, 4]),
    ],
)
def test_bounds(
    units: Units, scope: str, fraction: float, limits: dict[str, Any], counts: list[int]
) -> None:
    choose(units, ratio(fraction), scope=scope, **limits)
    assert _counts(units) == counts


def test_a_minimum_can_make_a_budget_impossible(units: Units) -> None:
    choose(units, macs(0.2))
    with pytest.raises(BudgetError, match="keeps the least it may, 6"):
        choose(units, macs(0.2), at_least=0.7)


def test_groups_keep_equally_many_within_the_bounds() -> None:
    units = units_of(MODELS["grouped"]())
    choose(units, ratio(0.1), at_least=0.5)
    for unit in units.mutable:
        assert unit.current_choice >= unit.num_channels / 2
        assert unit.current_choice % unit.num_groups == 0


def test_bounds_that_contradict(units: Units) -> None:
    with pytest.raises(ChoiceError, match=r"net\.conv0.* of 8 channels cannot keep at least 6 and"):
        choose(units, ratio(0.5), at_least=6, at_most=0.5)


@pytest.mark.parametrize("bound", [0, -1, 0.0, 1.5, float("nan"), True])
def test_bounds_out_of_range(units: Units, bound: float) -> None:
    for name in ("at_least", "at_most"):
        with pytest.raises(OnnxPruneError, match="cannot be bound to"):
            choose(units, ratio(0.5), **{name: bound})  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match="Nothing to bound matches 'conv9'"):
        choose(units, ratio(0.5), at_least={"conv9": 2})
