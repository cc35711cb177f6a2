"""The parity harness: what it says of models that are right, and of rules that are not."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

import onnxprune.torch as ot
from models import randomise
from models.toys import TOYS
from onnxprune.axes.rule import Rule
from onnxprune.errors import ChoiceError, VerificationFailed
from onnxprune.ops.patch import Patch
from onnxprune.ops.registry import PATCHES, RULES
from onnxprune.torch.dynamic import DynamicConv2d
from onnxprune.units import find_units
from onnxprune.verification.parity import ParityReport

pytestmark = pytest.mark.torch


def toy(name: str) -> tuple[nn.Module, Any]:
    return randomise(TOYS[name].build(), seed=1), TOYS[name].example(2)


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_a_model_that_is_right(exporter: Any) -> None:
    report = ot.parity(*toy("Residual"), choices=8, exporter=exporter)
    assert report.passed
    assert (report.units, report.masked) == (2, [])
    assert [set(choice.answers) for choice in report.choices] == [
        {"dynamic", "masked", "pruned"}
    ] * 8
    assert all(choice.effect > 0.01 for choice in report.choices[1:]), "or nothing is shown"
    assert len({choice.kept for choice in report.choices}) > 4
    assert "agreed" in str(report)
    text = msgspec.json.encode(report)
    assert msgspec.json.decode(text, type=ParityReport) == report


def test_given_choices_by_count_ratio_mask_and_indices() -> None:
    module, example = toy("Residual")
    name = "op1_(0, 8)_8"
    choices = [{name: 3}, {name: 0.25}, {name: [True, False] * 4}, {name: [7]}]
    report = ot.parity(module, example, choices)
    assert report.passed
    assert [choice.kept for choice in report.choices] == [3 + 8, 2 + 8, 4 + 8, 1 + 8]
    with pytest.raises(ChoiceError, match="near are"):
        ot.parity(module, example, [{"op1_(0, 8)_9": 3}])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("l1", {"divisor": 2}),
        ("sequential", {"choice_mode": "ratio"}),
        ("oneshot", {"candidate_choices": [0.25, 0.75, 1.0]}),
        ("slimmable", {"candidate_choices": [2, 5], "choice_mode": "number"}),
    ],
)
def test_every_kind_of_unit(kind: str, arguments: dict[str, Any]) -> None:
    module, example = toy("UnequalConcats")
    units = find_units(ot.trace(module, example), kind, **arguments)
    choices = [{u.name: u.sample_choice(seed) for u in units.mutable} for seed in range(4)]
    report = ot.parity(module, example, choices, units=units)
    assert report.passed
    assert {choice.kept for choice in report.choices} - {report.choices[0].channels}


def test_the_module_is_left_alone() -> None:
    module, example = toy("Residual")
    module.train()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    ot.assert_parity(module, example, 3)
    assert module.training
    assert type(module.op1) is nn.Conv2d
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_statistics_over_removed_channels_are_not_judged_by_zeros() -> None:
    report = ot.parity(*toy("LayerNorm"), choices=4)
    assert report.passed
    masked = [choice.answers["masked"] for choice in report.choices[1:]]
    assert all(found.agrees is None and "statistic" in found.note for found in masked)
    assert report.worst("dynamic") < 1e-5


def test_fixed_sizes_are_masked() -> None:
    report = ot.parity(*toy("Chunk"), choices=8)
    assert report.passed
    assert report.masked


def swapped(original: Any) -> Any:
    """The rule of Concat, its two operands the wrong way round."""

    def rule(op: Any) -> Rule:
        right = original(op)
        wrong = re.sub(r"^(.*), (.*) -> (.*)$", r"\2, \1 -> \3", right.sentence)
        return Rule(wrong)

    return rule


def test_a_broken_rule_is_caught_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module, example = toy("Concat")
    monkeypatch.setitem(RULES._items, "Concat", swapped(RULES.get("Concat")))
    with pytest.raises(AssertionError) as failed:
        ot.assert_parity(module, example, 4)
    assert re.search(
        r"first at Concat '.*its rule says that index \d+ of axis 1", str(failed.value)
    )
    report = ot.parity(module, example, 4)
    failures = [choice.failure for choice in report.choices if choice.failure is not None]
    assert len(failures) == 3, "all channels are right all the same"
    for failure in failures:
        assert failure.node is not None
        assert failure.node.startswith("Concat")
        assert len(failure.units) == 1
        assert failure.units.keys() <= {"op1_(0, 8)_8", "op2_(0, 8)_8"}


def test_a_broken_patch_is_caught_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller graph splits where the original did."""
    module, example = toy("Chunk")
    monkeypatch.setitem(PATCHES._items, "Split", lambda op, kept: Patch())
    report = ot.parity(module, example, 6)
    failures = [choice.failure for choice in report.choices if choice.failure is not None]
    assert failures
    assert any(f.node is not None and f.node.startswith("Split") for f in failures)


def test_a_broken_dynamic_operator_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    module, example = toy("Chain")
    forward = DynamicConv2d.forward

    def wrong(self: DynamicConv2d, x: Tensor) -> Tensor:
        return forward(self, x) * (1 if self.is_whole else 1.01)

    checked = ot.Parity(module, example)
    monkeypatch.setattr(DynamicConv2d, "forward", wrong)
    found = checked.check("half", lambda units: [u.set_mask(u.mask_of(0.5)) for u in units.mutable])
    assert not found.passed
    assert found.answers["dynamic"].agrees is False
    assert found.answers["pruned"].agrees is True
    assert found.failure is not None
    assert len(found.failure.units) == 1
    assert "the smaller graph computes the same" in found.failure.reason


class Deaf(nn.Module):
    """Reads the weight of a layer itself, so that the layer cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.b = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(x @ self.a.weight.T).softmax(1)) * self.b.weight.sum()


def test_a_module_that_cannot_follow() -> None:
    module, example = randomise(Deaf()), torch.rand(2, 4)
    report = ot.parity(module, example, 3)
    assert [choice.answers["dynamic"].agrees for choice in report.choices] == [True, False, False]
    assert all(choice.answers["pruned"].agrees for choice in report.choices)
    with pytest.raises(VerificationFailed, match="cannot follow its units"):
        ot.prepare_for_pruning(module, example)


def test_effects_are_measured() -> None:
    module, example = toy("Chain")
    with torch.no_grad():
        module.linear.weight.zero_()
    report = ot.parity(module, example, 3)
    assert report.passed
    assert np.allclose([choice.effect for choice in report.choices], 0, atol=1e-5)
