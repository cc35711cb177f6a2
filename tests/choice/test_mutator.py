"""ChannelMutator: choices by name, configs, structures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import MODELS

from onnxprune.choice import ChannelMutator
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.units import L1MutableChannelUnit, OneShotMutableChannelUnit, SlimmableChannelUnit

FIRST, SECOND = "net.conv0_(0, 8)_8", "net.conv1_(0, 16)_16"


def prepared(*arguments: Any) -> ChannelMutator:
    mutator = ChannelMutator(*arguments)
    mutator.prepare_from_supernet(MODELS["chain"]())
    return mutator


def test_units_and_choices() -> None:
    mutator = prepared()
    assert len(mutator.units) == 4
    assert [unit.name for unit in mutator.mutable_units] == [FIRST, SECOND]
    assert mutator.choice_template == {FIRST: 8, SECOND: 16}
    mutator.set_choices({FIRST: 3})
    assert mutator.current_choices == {FIRST: 3, SECOND: 16}
    mutator.set_choices({SECOND: [0, 5]})
    assert mutator.current_choices == {FIRST: 3, SECOND: 2}


@pytest.mark.parametrize("kind", ["l1", "L1MutableChannelUnit", L1MutableChannelUnit])
def test_kinds_by_name_and_by_class(kind: Any) -> None:
    assert all(isinstance(unit, L1MutableChannelUnit) for unit in prepared(kind).units)


def test_samples() -> None:
    mutator = prepared()
    assert mutator.sample_choices(seed=3) == mutator.sample_choices(seed=3)
    assert mutator.sample_choices("max") == {FIRST: 8, SECOND: 16}
    assert mutator.sample_choices("min") == {FIRST: 1, SECOND: 1}
    samples = [tuple(mutator.sample_choices(seed=seed).values()) for seed in range(30)]
    assert len(set(samples)) > 20
    mutator.set_choices(mutator.sample_choices(seed=1))
    with pytest.raises(ChoiceError, match="'random', 'max' or 'min'"):
        mutator.sample_choices("mix")


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"net.conv0_(0, 8)_9": 3}, r"no unit .*; near are: net\.conv0_\(0, 8\)_8"),
        ({FIRST: 3, SECOND: 17}, "not within 1 to 16"),
        ({FIRST: 3, "head_(0, 1000)_1000": 10}, "must stay whole"),
    ],
)
def test_choices_that_do_not_fit_change_nothing(choices: dict[str, Any], says: str) -> None:
    mutator = prepared()
    with pytest.raises(ChoiceError, match=says):
        mutator.set_choices(choices)
    assert mutator.current_choices == {FIRST: 8, SECOND: 16}


def test_fixed_choices() -> None:
    mutator = prepared()
    mutator.set_choices({FIRST: 3})
    mutator.fix_channel_mutables()
    with pytest.raises(ChoiceError, match="fixed"):
        mutator.set_choices({FIRST: 4})


@pytest.mark.parametrize("with_channels", [True, False])
@pytest.mark.parametrize("parse", ["ChannelAnalyzer", "Config"])
def test_a_template_round_trips_through_json(
    with_channels: bool, parse: str, tmp_path: Path
) -> None:
    mutator = prepared({"type": "l1", "default_args": {"choice_mode": "ratio", "divisor": 2}})
    mutator.set_choices({FIRST: 0.5})
    template = mutator.config_template(True, True, with_channels)
    assert set(template) == {"type", "channel_unit_cfg", "parse_cfg"}
    assert set(template["channel_unit_cfg"]["units"]) == {FIRST, SECOND}
    template["parse_cfg"]["type"] = parse
    path = tmp_path / "mutator.json"
    path.write_text(json.dumps(template))
    again = ChannelMutator.init_from_config(path)
    again.prepare_from_supernet(MODELS["chain"]())
    assert len(again.units) == (4 if parse == "ChannelAnalyzer" else 2)
    assert again.current_choices == mutator.current_choices == {FIRST: 0.5, SECOND: 1.0}
    assert again.config_template(True, True, with_channels) == template


def test_units_that_differ(tmp_path: Path) -> None:
    units = {SECOND: {"init_args": {"divisor": 8}, "choice": 9}}
    path = tmp_path / "units.json"
    path.write_text(json.dumps(units))
    for given in (units, str(path)):
        mutator = prepared({"type": "sequential", "units": given})
        assert mutator.current_choices == {FIRST: 8, SECOND: 16}
        mutator.set_choices({SECOND: 7, FIRST: 7})
        assert mutator.current_choices == {FIRST: 7, SECOND: 8}


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (({"type": "l3"},), OnnxPruneError, "no unit_kind 'l3'"),
        (({"kind": "l1"},), ChoiceError, "malformed"),
        (({"units": {FIRST: {"chose": 3}}},), ChoiceError, "malformed"),
        (({"units": "missing.json"},), ChoiceError, "missing.json: the config cannot be read"),
        ((None, {"type": "Tracer"}), ChoiceError, "'ChannelAnalyzer', 'Config' or 'Predefined'"),
    ],
)
def test_configs_that_are_malformed(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        ChannelMutator(*arguments)


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({"net.conv9_(0, 8)_8": {"choice": 3}}, "no unit .*near are"),
        ({FIRST: {"init_args": {"num_channels": 9}}}, "has 8 channels; its config says 9"),
        ({FIRST: {"channels": {"output_related": [{"name": "net.conv0"}]}}}, "incomplete"),
        ({FIRST: {"choice": 9}}, "not within 1 to 8"),
    ],
)
def test_configs_that_do_not_fit_the_model(units: dict[str, Any], says: str) -> None:
    with pytest.raises(ChoiceError, match=says):
        prepared({"units": units})


def test_subnets_of_slimmable_units() -> None:
    cfg = {"type": "slimmable", "default_args": {"candidate_choices": [4, 8, 16]}}
    units = {SECOND: {"init_args": {"candidate_choices": [4, 8, 16]}}}
    with pytest.raises(ChoiceError, match="equally many candidates each; these have 2, 3"):
        _ = prepared({**cfg, "units": units}).subnets  # 8 channels have no 16: 4 and 8 are left
    ratios = {"candidate_choices": [0.25, 0.5, 1.0], "choice_mode": "ratio"}
    mutator = prepared({"type": "slimmable", "default_args": ratios})
    assert all(isinstance(unit, SlimmableChannelUnit) for unit in mutator.units)
    assert mutator.subnets == [{FIRST: r, SECOND: r} for r in (0.25, 0.5, 1.0)]
    mutator.set_choices(mutator.subnets[0])
    assert [int(unit.mask.sum()) for unit in mutator.mutable_units] == [2, 4]
    with pytest.raises(ChoiceError, match="slimmable"):
        _ = prepared(OneShotMutableChannelUnit).subnets


def test_a_structure_is_counts_and_indices_and_fits_only_its_model(tmp_path: Path) -> None:
    mutator = prepared("l1")
    mutator.set_choices({FIRST: [1, 5, 6]})
    mutator.name_subnet("small")
    mutator.set_choices({FIRST: 8, SECOND: 4})
    path = tmp_path / "structure.json"
    path.write_text(mutator.export_structure().to_json())
    written = json.loads(path.read_text())
    kept = np.flatnonzero(mutator.mutable_units[1].mask).tolist()
    assert written["units"] == {SECOND: {"count": 4, "of": 16, "indices": kept}}
    assert written["subnets"]["small"] == {FIRST: {"count": 3, "of": 8, "indices": [1, 5, 6]}}
    assert written["version"]

    again = prepared("sequential")
    again.load_structure(path)
    assert again.current_choices == {FIRST: 8, SECOND: 4}
    assert np.flatnonzero(again.mutable_units[1].mask).tolist() == kept
    again.set_subnet("small")
    assert np.flatnonzero(again.mutable_units[0].mask).tolist() == [1, 5, 6]
    with pytest.raises(ChoiceError, match="no subnet 'smal'; there are: small"):
        again.set_subnet("smal")

    other = ChannelMutator()
    other.prepare_from_supernet(MODELS["residual"]())
    with pytest.raises(ChoiceError, match="another architecture"):
        other.load_structure(path)


def test_a_structure_that_contradicts_itself(tmp_path: Path) -> None:
    mutator = prepared()
    path = tmp_path / "structure.json"
    for kept in (
        {"count": 3, "of": 8, "indices": [1, 5]},
        {"count": 2, "of": 9, "indices": [1, 5]},
    ):
        path.write_text(json.dumps({"units": {FIRST: kept}}))
        with pytest.raises(ChoiceError, match="has 8 channels; its choice keeps"):
            mutator.load_structure(path)


def test_nothing_is_prepared_yet() -> None:
    with pytest.raises(ChoiceError, match="prepare_from_supernet"):
        ChannelMutator().export_structure()
