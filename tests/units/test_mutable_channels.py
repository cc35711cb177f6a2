"""Mutable channels by themselves, and those that follow others."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.errors import ChoiceError
from onnxprune.units import (
    OneShotMutableChannel,
    SequentialMutableChannel,
    SimpleMutableChannel,
    SquentialMutableChannel,
    concatenate,
)


def test_the_name_as_mmrazor_spells_it() -> None:
    assert SquentialMutableChannel is SequentialMutableChannel
    text = "SquentialMutableChannel(num_channels=8, activated_channels=8)"
    assert repr(SequentialMutableChannel(8)) == text


def test_modes_tell_numbers_or_ratios_and_take_both() -> None:
    number, ratio = SequentialMutableChannel(8), SequentialMutableChannel(8, "ratio")
    for mutable in (number, ratio):
        for choice in (4, 0.5):
            mutable.current_choice = choice
            assert mutable.activated_channels == 4
    assert number.current_choice == 4
    assert ratio.current_choice == 0.5


def test_candidates() -> None:
    mutable = OneShotMutableChannel(8, [4, 2])
    assert mutable.candidate_choices == [2, 4]
    mutable.current_choice = 2
    assert mutable.current_mask.tolist() == [True] * 2 + [False] * 6
    with pytest.raises(ChoiceError, match="candidates"):
        mutable.current_choice = 3
    assert OneShotMutableChannel(8).candidate_choices == [8]
    assert OneShotMutableChannel(8, choice_mode="ratio").candidate_choices == [1.0]
    with pytest.raises(ChoiceError, match="not within 1 to 8"):
        OneShotMutableChannel(8, [9])


def test_derived_channels_follow_by_one_rule() -> None:
    mutable = SimpleMutableChannel(4)
    expanded, divided = mutable * 3, mutable // 2
    joined = concatenate([mutable, divided])
    mutable.current_choice = [True, False, True, True]
    assert expanded.current_mask.tolist() == [True] * 3 + [False] * 3 + [True] * 6
    assert divided.current_mask.tolist() == [False, True]
    assert joined.current_mask.tolist() == [True, False, True, True, False, True]
    assert ((mutable * 2) // 2).current_mask.tolist() == mutable.current_mask.tolist()
    assert joined.current_choice == 4
    with pytest.raises(AttributeError):
        joined.current_mask = np.ones(6, bool)  # type: ignore[misc]


def test_a_prefix_stays_a_prefix() -> None:
    mutable = SequentialMutableChannel(8)
    mutable.current_choice = 5
    assert (mutable * 2).current_mask.tolist() == [True] * 10 + [False] * 6
    assert (mutable // 2).activated_channels == 2


@pytest.mark.parametrize("ratio", [0, -1, 1.5, True])
def test_ratios_of_derived_channels_are_whole(ratio: int) -> None:
    with pytest.raises(ChoiceError):
        SimpleMutableChannel(4) * ratio
    with pytest.raises(ChoiceError):
        SimpleMutableChannel(4) // ratio


def test_what_cannot_be_divided() -> None:
    with pytest.raises(ChoiceError, match="4 channels cannot be divided by 3"):
        SimpleMutableChannel(4) // 3
