"""What a pruned model says of itself, and what it may say when it comes from a stranger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import choose, to_proto, units_of
from hypothesis import given
from hypothesis import strategies as st
from small import MODELS

from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph, load, save
from onnxprune.rewrite import prune, read_record, recall
from onnxprune.rewrite.record import PREFIX, pack, unpack
from onnxprune.units import Units, find_units


@pytest.fixture
def units() -> Units:
    found = units_of(MODELS["chain"]())
    choose(found, 0)
    return found


@pytest.fixture
def small(units: Units) -> Graph:
    return prune(units)


@given(st.sets(st.integers(0, 40)))
def test_ranges(indices: set[int]) -> None:
    text = pack(sorted(indices))
    assert unpack(text, len(indices)) == sorted(indices)


@pytest.mark.parametrize(
    "text",
    ["x", "0:", ":4", "3:2", "2,1", "0:4,3", "-1", "0:99999999999999", "1:2:3", "0:6", "9" * 40],
)
def test_ranges_of_strangers(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(text, 5)


def test_a_model_that_was_never_pruned_has_no_record(units: Units) -> None:
    assert read_record(units.graph.model) is None


def test_the_record_survives_saving(units: Units, small: Graph, tmp_path: Path) -> None:
    save(small, tmp_path / "small.onnx")
    for graph in (small, load(tmp_path / "small.onnx")):
        record = read_record(graph.model)
        assert record is not None
        (pruning,) = record.history
        assert pruning.source_sha256 == units.graph.source.sha256
        unit = units["net.conv0_(0, 8)_8"]
        kept = np.flatnonzero(unit.mask).tolist()
        assert pruning.units[unit.name] == (8, pack(kept))
        assert record.kept["net.conv0.weight"] == {0: kept}
        assert record.kept["net.conv1.weight"][1] == kept
        assert "head.bias" not in record.kept


def test_choices_are_recalled(units: Units, small: Graph) -> None:
    again = find_units(units.graph)
    recall(again, small)
    for unit in again:
        assert np.array_equal(unit.mask, units[unit.name].mask)


def test_nothing_is_recalled_from_another_model(units: Units, small: Graph) -> None:
    with pytest.raises(ChoiceError, match="does not say"):
        recall(units, units.graph)
    with pytest.raises(ChoiceError, match="was not pruned from"):
        recall(units_of(MODELS["residual"]()), small)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("history", "["),
        ("history", "[]"),
        ("history", "{}"),
        ("history", '[{"version": 1}]'),
        ("kept", "nonsense"),
        ("kept", '{"0": "0:3"}'),
        ("kept", '{"9": "0:3"}'),
        ("kept", '{"-1": "0"}'),
        ("kept", '{"x": "0"}'),
        ("kept", '{"0": "0:999999999999999"}'),
        ("kept", '{"0": "5,4,3,2"}'),
        ("kept", '{"0": [1, 2]}'),
    ],
)
def test_records_of_strangers_are_no_records(small: Graph, key: str, value: str) -> None:
    proto = to_proto(small)
    if key == "history":
        entries = proto.metadata_props
    else:
        entries = next(t for t in proto.graph.initializer if t.name == "head.weight").metadata_props
    (entry,) = (e for e in entries if e.key == f"{PREFIX}{key}")
    entry.value = value
    graph = load(proto)
    assert read_record(graph.model) is None
    units = find_units(graph)
    choose(units, 1)
    onnx.checker.check_model(to_proto(prune(units)), full_check=True)


def test_a_second_pruning_adds_to_the_first(small: Graph) -> None:
    units = find_units(small)
    choose(units, 1)
    record = read_record(prune(units).model)
    first = read_record(small.model)
    assert record is not None
    assert first is not None
    assert len(record.history) == 2
    for name, axes in record.kept.items():
        for axis, kept in axes.items():
            assert set(kept) <= set(first.kept[name][axis])
