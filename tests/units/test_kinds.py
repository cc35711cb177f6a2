"""Kinds of units: what a choice becomes. The table was recorded by running MMRazor 1.0.0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import units_of
from small import MODELS

from onnxprune.budget import ratio
from onnxprune.choice import choose, sample
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.graph import load
from onnxprune.units import (
    L1MutableChannelUnit,
    MutableChannelUnit,
    OneShotMutableChannelUnit,
    SequentialMutableChannelUnit,
    SlimmableChannelUnit,
    find_units,
    make_divisible,
)

Sequential = SequentialMutableChannelUnit
OneShot = OneShotMutableChannelUnit


@pytest.mark.parametrize(
    ("value", "divisor", "min_value", "min_ratio", "result"),
    [
        (20, 8, 1, 0.9, 24),
        (3, 8, 1, 0.9, 8),
        (14, 8, 1, 0.9, 16),
        (12, 8, 8, 0.9, 16),
        (17, 8, 8, 0.9, 16),
        (18, 8, 8, 0.9, 24),
        (9, 8, 8, 0.9, 16),
        (9, 8, 8, 0.5, 8),
        (100, 16, 16, 0.9, 96),
        (57, 32, 32, 0.9, 64),
        (0, 1, 1, 0.9, 1),
        (-5, 1, 1, 0.9, 1),
        (2.5, 1, 1, 0.9, 3),
    ],
)
def test_make_divisible(
    value: float, divisor: int, min_value: int, min_ratio: float, result: int
) -> None:
    assert make_divisible(value, divisor, min_value, min_ratio) == result


@pytest.mark.parametrize(
    ("unit", "choice", "told", "kept"),
    [
        (Sequential(48), 24, 24, 24),
        (Sequential(48), 0.5, 24, 24),
        (Sequential(48), 1.0, 48, 48),
        (Sequential(48), 1, 1, 1),
        (Sequential(48), 0.001, 1, 1),
        (Sequential(48, choice_mode="ratio"), 0.5, 0.5, 24),
        (Sequential(48, choice_mode="ratio"), 24, 0.5, 24),
        (Sequential(48, choice_mode="ratio"), 1, 1 / 48, 1),
        (Sequential(48, divisor=8), 20, 24, 24),
        (Sequential(48, divisor=8), 1, 8, 8),
        (Sequential(12, divisor=8), 12, 12, 12),
        (Sequential(12, divisor=8), 9, 12, 12),
        (Sequential(48, choice_mode="ratio", divisor=8), 0.3, 1 / 3, 16),
        (Sequential(48, divisor=8, min_value=16), 3, 16, 16),
        (Sequential(48, divisor=8, min_ratio=0.5), 19, 16, 16),
        (OneShot(48, [24, 48], "number"), 24, 24, 24),
        (OneShot(48), 0.5, 0.5, 24),
        (SlimmableChannelUnit(48), 48, 48, 48),
        (SlimmableChannelUnit(48, [16, 32, 48]), 16, 16, 16),
    ],
)
def test_choices_as_recorded(
    unit: MutableChannelUnit, choice: float, told: float, kept: int
) -> None:
    unit.current_choice = choice
    assert unit.current_choice == told
    assert type(unit.current_choice) is type(told)
    assert unit.mask.tolist() == [True] * kept + [False] * (unit.num_channels - kept)


@pytest.mark.parametrize(
    ("unit", "choice", "says"),
    [  # where MMRazor takes the first four for 1, 1, 1 and 48 channels
        (Sequential(48), 0, "not within 1 to 48; write a ratio with a decimal point"),
        (Sequential(48), 0.0, "not above 0 and at most 1; write a count as an"),
        (Sequential(48), -3, "not within 1 to 48"),
        (Sequential(48), 100, "not within 1 to 48"),
        (Sequential(12, divisor=8), 13, "not within 1 to 12"),
        (OneShot(48, [24, 48], "number"), 25, r"candidates \[24, 48\], not 25"),
        (OneShot(48), 24, r"candidates \[0.5, 1.0\], not 24"),
        (OneShot(48), 1, r"candidates \[0.5, 1.0\], not 1"),
        (OneShot(48), [0, 1, 2], "candidates"),
    ],
)
def test_choices_that_are_refused(unit: MutableChannelUnit, choice: Any, says: str) -> None:
    before = unit.mask
    with pytest.raises(ChoiceError, match=says):
        unit.current_choice = choice
    assert (unit.mask == before).all()


@pytest.mark.parametrize(
    ("arguments", "candidates"),
    [
        ((48, [20, 30, 40], "number", 8), [24, 32, 40]),
        ((48, [0.3, 0.5, 0.7], "ratio", 8), [1 / 3, 0.5, 2 / 3]),
        ((8, [24, 4], "number"), [4, 8]),
        ((8, [], "number"), [8]),
        ((8, [], "ratio"), [1.0]),
    ],
)
def test_candidates_are_rounded_sorted_and_capped(arguments: Any, candidates: Any) -> None:
    unit = OneShot(*arguments)
    assert unit.candidate_choices == pytest.approx(candidates)
    assert (unit.min_choice, unit.max_choice) == (unit.candidate_choices[0], candidates[-1])
    samples = {unit.sample_choice(seed) for seed in range(40)}
    assert sorted(samples) == unit.candidate_choices


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneShot(48, [0.5, 24], "ratio"),
        lambda: OneShot(48, [0.5], "number"),
        lambda: OneShot(48, [0], "number"),
        lambda: OneShot(48, [1.5], "ratio"),
        lambda: Sequential(48, choice_mode="count"),
        lambda: Sequential(48, divisor=0),
        lambda: Sequential(48, min_ratio=0),
        lambda: Sequential(0),
        lambda: Sequential(True),
    ],
)
def test_arguments_out_of_range(make: Any) -> None:
    with pytest.raises(ChoiceError):
        make()


def test_indices_are_a_choice_of_any_unit() -> None:
    unit = Sequential(8)
    unit.current_choice = [7, 0, 3]
    assert np.flatnonzero(unit.mask).tolist() == [0, 3, 7]
    unit.current_choice = np.array([1, 2])
    assert np.flatnonzero(unit.mask).tolist() == [1, 2]
    with pytest.raises(ChoiceError, match="twice"):
        unit.current_choice = [1, 1]
    with pytest.raises(ChoiceError, match="0 to 7; its choice names 8"):
        unit.current_choice = [8]


@pytest.mark.parametrize("divisor", [1, 5, 8])
def test_samples_are_rounded_and_never_more_than_there_are(divisor: int) -> None:
    unit = Sequential(12, divisor=divisor)
    samples = {unit.sample_choice(seed) for seed in range(200)}
    assert samples == {min(12, make_divisible(count, divisor)) for count in range(1, 13)}


def test_a_fixed_unit() -> None:
    unit = Sequential(8)
    unit.fix_chosen(3)
    unit.current_choice = 3
    with pytest.raises(ChoiceError, match="fixed"):
        unit.current_choice = 4
    with pytest.raises(ChoiceError, match="fixed already"):
        unit.fix_chosen()


def test_units_of_a_graph_are_made_with_arguments() -> None:
    units = find_units(load(MODELS["chain"]()), "sequential", divisor=4, choice_mode="ratio")
    unit = units.mutable[0]
    unit.current_choice = 3
    assert unit.current_choice == 0.5
    with pytest.raises(OnnxPruneError, match="it takes num_channels, choice_mode"):
        find_units(load(MODELS["chain"]()), "sequential", divisors=4)


def test_rounding_respects_groups() -> None:
    units = units_of(MODELS["grouped"]())
    grouped = [unit for unit in units.mutable if unit.num_groups > 1]
    assert grouped
    for unit in grouped:
        made = L1MutableChannelUnit.of(unit.found, divisor=3)
        made.current_choice = 0.3
        assert made.current_choice % made.num_groups == 0
        assert made.current_choice <= made.num_channels


class Wrong(MutableChannelUnit):
    """Scores that are none, and an argument that is not kept."""

    def __init__(self, num_channels: int, given: Any = 0) -> None:
        super().__init__(num_channels)
        self.result = given

    def scores(self) -> Any:
        return self.result


@pytest.mark.parametrize("scores", [[1, 2, 3], np.zeros((8, 1)), 3.0, [np.nan] * 8, [np.inf] * 8])
def test_scores_that_are_none(scores: Any) -> None:
    unit = Wrong(8, scores)
    with pytest.raises(OnnxPruneError, match=r"Wrong\.scores must give 8 finite numbers"):
        unit.current_choice = 3


def test_arguments_that_are_not_kept() -> None:
    with pytest.raises(OnnxPruneError, match="does not tell its 'given'"):
        Wrong(8).config_template(with_init_args=True)


def test_choosing_respects_divisors_and_candidates() -> None:
    graph = load(MODELS["chain"]())
    units = find_units(graph, "oneshot", candidate_choices=[0.25, 0.75, 1.0])
    choose(units, ratio(0.5))
    assert [unit.current_choice for unit in units.mutable] == [0.75, 0.75]
    units = find_units(graph, "sequential", divisor=4)
    sample(units, 0)
    assert all(unit.current_choice % 4 == 0 for unit in units.mutable)


def test_groups_are_checked_wherever_a_mask_comes_from() -> None:
    units = units_of(MODELS["grouped"]())
    unit = next(unit for unit in units.mutable if unit.num_groups > 1)
    mask = np.ones(unit.num_channels, bool)
    mask[0] = False
    unit.mutable_channel.current_mask = mask  # type: ignore[misc]
    with pytest.raises(ChoiceError, match="equally many channels in each"):
        units.cut()
