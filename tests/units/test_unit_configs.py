"""Units from configs, and configs from units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from helpers import units_of
from small import MODELS

import onnxprune as op
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.units import SequentialMutableChannelUnit, Units
from onnxprune.units.metadata import KEY, with_units

NAME = "net.conv0_(0, 8)_8"

CONFIG: dict[str, Any] = {
    "init_args": {"num_channels": 8},
    "channels": {
        "input_related": [{"name": "net.conv1"}],
        "output_related": [{"name": "net.conv0"}],
    },
    "choice": 8,
}


def config(**changes: Any) -> dict[str, Any]:
    return {**CONFIG, **changes}


def sides(inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    return {
        "input_related": [{"name": n} if isinstance(n, str) else n for n in inputs],
        "output_related": [{"name": n} if isinstance(n, str) else n for n in outputs],
    }


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["chain"]())


def test_a_config_gives_the_unit_that_the_graph_has(units: Units) -> None:
    unit = SequentialMutableChannelUnit.init_from_cfg(units, CONFIG)
    assert unit.name == NAME
    assert units[NAME] is unit
    assert repr(unit) == repr(SequentialMutableChannelUnit.init_from_graph(MODELS["chain"]())[NAME])


def test_arguments_and_the_choice_are_taken_over(units: Units) -> None:
    init_args = {"num_channels": 8, "choice_mode": "ratio", "divisor": 2}
    unit = SequentialMutableChannelUnit.init_from_cfg(units, config(init_args=init_args, choice=3))
    assert (unit.current_choice, unit.divisor) == (0.5, 2)


@pytest.mark.parametrize("with_channels", [True, False])
def test_a_template_makes_the_unit_again(units: Units, with_channels: bool) -> None:
    unit = units[NAME]
    unit.current_choice = 3
    template = unit.config_template(with_init_args=True, with_channels=True)
    assert template["channels"]["output_related"] == [
        {"name": "net.conv0", "start": 0, "end": 8, "is_output_channel": True}
    ]
    again = type(unit).init_from_cfg(units_of(MODELS["chain"]()), template)
    assert again.config_template(True, with_channels) == unit.config_template(True, with_channels)
    assert again.mask.tolist() == unit.mask.tolist()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"channels": sides(["net.conv2"], ["net.conv0"])}, "no module 'net.conv2'; near are"),
        ({"channels": sides(["net.conv1"], [])}, r"incomplete: net.conv0\[0:8\] \(output_rel"),
        ({"channels": sides([], ["net.conv0"])}, r"incomplete: net.conv1\[0:8\] \(input_rel"),
        ({"channels": sides(["net.conv1", "head"], ["net.conv0"])}, "head .* does not depend on"),
        ({"init_args": {"num_channels": 9}}, r"No unit of 9 channels has net.conv0.*: it produces"),
        ({"channels": sides(["head"], ["net.conv0"])}, "head .* does not depend on net.conv0"),
        ({"channels": sides([], [])}, "lists no channels"),
        ({"channels": None}, "lists no channels"),
        (
            {"channels": sides([{"name": "net.conv1", "start": 1}], [])},
            "No unit of 8 .*net.conv1.1",
        ),
        (
            {"channels": sides([{"name": "net.conv1", "is_output_channel": True}], ["net.conv0"])},
            "says otherwise",
        ),
        ({"chanels": {}}, "malformed .*chanels.*it looks like"),
        ({"init_args": 3}, "malformed"),
        ({"choice": 9}, "not within 1 to 8"),
        ({"choice": 0}, "not within 1 to 8"),
        ({"choice": "8"}, "malformed"),
    ],
)
def test_configs_that_do_not_fit(units: Units, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ChoiceError, match=says):
        SequentialMutableChannelUnit.init_from_cfg(units, config(**changed))


def test_arguments_that_a_kind_does_not_take(units: Units) -> None:
    wrong = config(init_args={"num_channels": 8, "divisors": 8})
    with pytest.raises(OnnxPruneError, match="it takes num_channels"):
        SequentialMutableChannelUnit.init_from_cfg(units, wrong)


def test_a_coupling_is_told_as_a_whole() -> None:
    units = units_of(MODELS["residual"]())
    unit = max(units.mutable, key=lambda unit: len(unit.output_related))
    template = unit.config_template(with_channels=True)
    left_out = template["channels"]["output_related"].pop()
    with pytest.raises(ChoiceError, match=f"{left_out['name']}.*output_related.*same channels"):
        SequentialMutableChannelUnit.init_from_cfg(units, template)


def test_a_file_carries_its_units(units: Units, tmp_path: Path) -> None:
    units[NAME].current_choice = [1, 2]
    path = tmp_path / "carrying.onnx"
    op.save(with_units(units), path)
    carried = op.L1MutableChannelUnit.init_from_predefined_model(path)
    assert len(carried) == 4
    first, second = carried.mutable
    assert (first.name, second.name) == (NAME, "net.conv1_(0, 16)_16")
    assert first.mask.tolist() == [i in (1, 2) for i in range(8)]
    assert first.output_related[0].name == "net.conv0"
    assert op.prune(carried).initializers["net.conv1.weight"].const_value.shape[1] == 2


def test_a_file_that_carries_none(units: Units) -> None:
    with pytest.raises(ChoiceError, match="carries no units; init_from_graph"):
        SequentialMutableChannelUnit.init_from_predefined_model(units.graph)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "malformed"),
        ('{"x": {"channels": {"output_related": [{"name": "net.conv7"}]}}}', "no module"),
        ('{"x": {"channels": {"output_related": [{"name": "net.conv0"}]}}}', "incomplete"),
        ('{"x": {}}', "lists no channels"),
    ],
)
def test_what_a_file_carries_is_checked(text: str, says: str) -> None:
    model = MODELS["chain"]()
    onnx.helper.set_model_props(model, {KEY: text})
    with pytest.raises(ChoiceError, match=says):
        SequentialMutableChannelUnit.init_from_predefined_model(model)


def test_only_modules_of_a_framework_can_be_prepared(units: Units) -> None:
    with pytest.raises(OnnxPruneError, match="has no layers to prepare"):
        units[NAME].prepare_for_pruning(units.graph)
