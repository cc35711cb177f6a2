"""What can be asked of a unit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import units_of
from small import MODELS

from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.graph import load
from onnxprune.units import (
    MutableChannelUnit,
    SequentialMutableChannel,
    SimpleMutableChannel,
    Units,
    find_units,
)


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["chain"]())


@pytest.fixture
def unit(units: Units) -> MutableChannelUnit:
    return units["net.conv0_(0, 8)_8"]


def test_a_count_keeps_the_channels_of_the_largest_weights(unit: MutableChannelUnit) -> None:
    unit.current_choice = 3
    weights = unit.output_related[0].tensor.const_value
    assert weights is not None
    largest = np.argsort(-np.abs(weights.numpy()).mean(axis=(1, 2, 3)))[:3]
    assert np.flatnonzero(unit.mask).tolist() == sorted(largest)
    assert unit.current_choice == 3


@pytest.mark.parametrize(("choice", "kept"), [(8, 8), (1, 1), (1.0, 8), (0.5, 4), (0.01, 1)])
def test_counts_and_ratios(unit: MutableChannelUnit, choice: float, kept: int) -> None:
    unit.current_choice = choice
    assert unit.current_choice == kept == unit.mask.sum()


@pytest.mark.parametrize("choice", [0, 9, -1, 0.0, 1.5, -0.5, float("nan"), True, np.int64(9)])
def test_counts_and_ratios_out_of_range(unit: MutableChannelUnit, choice: float) -> None:
    with pytest.raises(ChoiceError):
        unit.current_choice = choice
    assert unit.current_choice == 8


@pytest.mark.parametrize(
    "mask", [[True] * 7, [False] * 8, [1] * 8, [[True] * 8], np.ones(8), "12345678", None]
)
def test_masks_that_do_not_fit(unit: MutableChannelUnit, mask: object) -> None:
    with pytest.raises(ChoiceError):
        unit.current_choice = mask  # type: ignore[assignment]
    assert unit.current_choice == 8


def test_a_mask_is_copied(unit: MutableChannelUnit) -> None:
    mask = np.arange(8) < 5
    unit.current_choice = mask
    mask[:] = False
    assert unit.current_choice == 5


def test_a_unit_that_must_stay_whole_says_why(units: Units) -> None:
    with pytest.raises(ChoiceError, match="'x': a graph input keeps its shape"):
        units[0].current_choice = 2
    units[0].current_choice = 3


def test_the_sequential_kind_keeps_the_first() -> None:
    units = find_units(load(MODELS["chain"]()), "sequential")
    unit = units.mutable[0]
    unit.current_choice = 3
    assert unit.mask.tolist() == [True] * 3 + [False] * 5


def test_an_unknown_kind() -> None:
    with pytest.raises(OnnxPruneError, match="sequentia"):
        find_units(load(MODELS["chain"]()), "sequentia")


def test_an_unknown_name(units: Units) -> None:
    with pytest.raises(ChoiceError, match=r"near are: net\.conv0_\(0, 8\)_8"):
        units["net.conv0_(0, 8)_9"]


def test_samples_are_in_range(unit: MutableChannelUnit) -> None:
    samples = [unit.sample_choice(seed) for seed in range(100)]
    assert set(samples) == set(range(1, 9))
    assert unit.sample_choice(3) == unit.sample_choice(3)


def test_the_text_of_a_unit(unit: MutableChannelUnit) -> None:
    text = repr(unit)
    assert "name=net.conv0_(0, 8)_8" in text
    assert "(output_related): ModuleList(" in text
    assert "Channel(net.conv1, index=(0, 8), is_output_channel=false, expand_ratio=1)" in text


def test_what_choices_leave(units: Units) -> None:
    assert 0.9 < units.prunable_share() <= 1
    assert not list(units.empty())
    assert units.cut().size(units.labels.axes[units.graph.outputs[0]][1]) == 1000
    units.mutable[0].current_choice = 2
    weight = units.graph.initializers["net.conv1.weight"]
    sizes = [axis.size for axis in units.cut().shape(weight) or ()]
    assert sizes == [16, 2, 3, 3]


def test_mutable_channels() -> None:
    simple = SimpleMutableChannel(4)
    simple.current_choice = [True, False, True, False]
    assert simple.activated_channels == 2
    sequential = SequentialMutableChannel(4)
    sequential.current_choice = 0.5
    assert sequential.current_mask.tolist() == [True, True, False, False]
    assert sequential.current_choice == 2
    assert repr(sequential) == "SquentialMutableChannel(num_channels=4, activated_channels=2)"
