"""All answers of random modules agree, whatever is removed; see `tools.random_modules`."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import onnxprune.torch as ot
from models import randomise
from tools import fuzz_modules
from tools.fuzz_modules import Trial, summary, tried
from tools.random_modules import RandomModule, exporter_of, random_module

pytestmark = pytest.mark.torch


def test_all_answers_of_random_modules_agree() -> None:
    trials: list[Trial] = []

    @settings(max_examples=28, phases=[Phase.generate])  # a smaller seed is no smaller module
    @given(st.integers(0, 9_999))
    def agrees(seed: int) -> None:
        trials.append(tried(seed, 3))
        assert trials[-1].passed, f"{trials[-1]}\n{random_module(seed)[0]}"

    agrees()
    assert {trial.exporter for trial in trials} == {"dynamo", "legacy"}
    hidden = [trial.seed for trial in trials if not trial.visible]
    assert len(hidden) <= 0.1 * len(trials), f"what removed channels do is not seen: {hidden}"


def test_a_seed_decides_everything() -> None:
    torch.manual_seed(0)
    first, example = random_module(7)
    torch.manual_seed(1)
    second, other = random_module(7)
    assert isinstance(first, RandomModule)
    assert torch.equal(example[0], other[0])
    assert str(first) == str(second)
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)
    with torch.no_grad():
        assert torch.equal(first(*example), second(*other))
    assert not torch.equal(random_module(8)[1][0], example[0])


def test_all_kinds_of_pieces_are_met() -> None:
    made = " ".join(str(random_module(seed)[0]) for seed in range(100))
    kinds = ("BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm", "RMSNorm", "PReLU")
    kinds += ("ConvTranspose2d", "MultiheadAttention", "Attention", "PixelShuffle", "Embedding")
    kinds += ("TransformerEncoderLayer", "Squeeze", "SpatialGate", "Bare", "Folded", "glu", "cat")
    kinds += ("chunk 2", "split", "unflatten", "flip", "shuffle", "fixed shuffle", "softmax", "pad")
    assert [kind for kind in kinds if kind not in made] == []


class Ungrouped(nn.Module):
    """Groups of a transposed convolution without a bias, whose outputs a sum ties to its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 1)
        self.groups = nn.ConvTranspose2d(12, 12, 3, padding=1, groups=2, bias=False)
        self.last = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.groups(x))


def test_transposed_groups_without_a_bias_are_gone_with_their_inputs() -> None:
    ot.assert_parity(randomise(Ungrouped(), seed=1), torch.randn(2, 3, 4, 4), 6)


def test_the_tool_tells_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        raise RuntimeError(f"no module {seed}")

    good = tried(1, 2)
    assert good.passed
    monkeypatch.setattr(fuzz_modules, "random_module", broken)
    bad = tried(2, 2)
    assert not bad.passed
    assert str(bad) == "seed 2, dynamo: FAILED\nRuntimeError: no module 2"
    table = summary([good, bad])
    assert "|  | legacy | dynamo | all |" in table
    assert "| modules that failed | 0 | 1 | 1 |" in table
    assert "| choices | 2 | 0 | 2 |" in table
    assert exporter_of(2) == "dynamo"
    assert capsys.readouterr().out == ""
