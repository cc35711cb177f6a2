"""Choices as data and as a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import units_of
from small import MODELS

from onnxprune.choice import Choices, read_choices
from onnxprune.errors import ChoiceError
from onnxprune.graph import fingerprint
from onnxprune.units import Units

FIRST = "net.conv0_(0, 8)_8"
SECOND = "net.conv1_(0, 16)_16"


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["chain"]())


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (3, 3),
        (0.5, 4),
        (1.0, 8),
        (0.01, 1),
        ([True, False] * 4, [0, 2, 4, 6]),
        ([7, 0, 3], [0, 3, 7]),
        (np.arange(8) < 2, [0, 1]),
    ],
)
def test_the_forms_of_a_choice(units: Units, choice: object, kept: int | list[int]) -> None:
    Choices({FIRST: choice}).apply(units)  # type: ignore[dict-item]
    indices = np.flatnonzero(units[FIRST].mask).tolist()
    assert (len(indices) if isinstance(kept, int) else indices) == kept
    assert units[SECOND].mask.all()


def test_a_count_keeps_the_channels_of_the_largest_weights(units: Units) -> None:
    Choices({FIRST: 3}).apply(units)
    weight = units.graph.initializers["net.conv0.weight"].const_value
    assert weight is not None
    best = np.argsort(-np.abs(weight.numpy()).mean(axis=(1, 2, 3)))[:3]
    assert set(np.flatnonzero(units[FIRST].mask)) == set(best)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (0, "count of 0"),
        (9, "count of 9"),
        (-1, "count of -1"),
        (10**30, "count of 1000"),
        (0.0, "ratio of 0.0"),
        (1.5, "ratio of 1.5"),
        (float("nan"), "ratio of nan"),
        (True, "True"),
        ([], "at least one"),
        ([True, False], "8 booleans"),
        ([False] * 8, "0 of them true"),
        ([True, 3], "indices"),
        ([0, 8], "0 to 7; its choice names 8"),
        ([0, -1], "its choice names -1"),
        ([10**30], "its choice names 1000"),
        ([0, 0], "twice"),
    ],
)
def test_a_choice_out_of_range(units: Units, choice: object, says: str) -> None:
    with pytest.raises(ChoiceError, match=says):
        Choices({SECOND: 4, FIRST: choice}).apply(units)  # type: ignore[dict-item]
    assert units[SECOND].mask.all(), "nothing is changed when anything is wrong"


def test_an_unknown_unit_names_what_is_near(units: Units) -> None:
    with pytest.raises(ChoiceError, match=r"near are: net\.conv0_\(0, 8\)_8"):
        Choices({"net.conv0_(0, 8)_9": 1}).apply(units)


def test_a_unit_that_must_stay_whole(units: Units) -> None:
    head = next(unit for unit in units if unit.name.startswith("head"))
    with pytest.raises(ChoiceError, match="must stay whole: 'y': a graph output"):
        Choices({head.name: 1}).apply(units)
    Choices({head.name: head.num_channels}).apply(units)


def test_choices_for_another_model(units: Units) -> None:
    other = Choices.of(units_of(MODELS["residual"]()))
    with pytest.raises(ChoiceError, match="a model of another architecture"):
        other.apply(units)


def test_units_that_are_not_named_become_whole_again(units: Units) -> None:
    Choices({FIRST: 2, SECOND: 2}).apply(units)
    Choices({SECOND: 3}).apply(units)
    assert units[FIRST].mask.all()
    assert units[SECOND].current_choice == 3


def test_a_file_has_a_line_for_every_unit_and_reads_as_it_was_written(
    units: Units, tmp_path: Path
) -> None:
    Choices({FIRST: [0, 5], SECOND: 7}).apply(units)
    choices, path = Choices.of(units), tmp_path / "choices.json"
    path.write_text(choices.to_json())
    assert len(path.read_text().splitlines()) == 7 + 2
    line = f'    "{FIRST}": {{"count": 2, "of": 8, "indices": [0, 5]}},\n'
    assert line in path.read_text()
    assert read_choices(path) == choices
    assert json.loads(path.read_text())["fingerprint"] == fingerprint(units.graph)


@pytest.mark.parametrize("units", [{}, {'a"\n\x1b': 1}, {"a": [True, False], "b": 0.5}])
def test_any_choices_read_as_they_were_written(units: dict[str, object], tmp_path: Path) -> None:
    choices, path = Choices(units), tmp_path / "choices.json"  # type: ignore[arg-type]
    path.write_text(choices.to_json())
    assert read_choices(path) == choices


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not hold choices"),
        ("hello", "does not hold choices"),
        ("[]", "does not hold choices"),
        ("{}", "missing required field `units`"),
        ('{"units": {"a": "b"}}', "got `str`"),
        ('{"units": {"a": [0.5]}}', "got `float`"),
        ('{"units": {}, "unit": {}}', "unknown field `unit`"),
        ('{"units": {}, "schema": "onnxprune.choices/9"}', "its schema is 'onnxprune.choices/9'"),
    ],
)
def test_a_file_that_does_not_hold_choices(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "choices.json"
    path.write_text(text)
    with pytest.raises(ChoiceError, match=says) as caught:
        read_choices(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="No such file"):
        read_choices(tmp_path / "none.json")
    with pytest.raises(ChoiceError, match="directory"):
        read_choices(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ChoiceError, match="does not hold choices"):
        read_choices(tmp_path / "binary")
