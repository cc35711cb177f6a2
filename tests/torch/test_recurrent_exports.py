"""Recurrent modules of torch, exported and pruned: between layers and to the head, all is units."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import onnxprune.torch as ot  # noqa: E402
from models import randomise  # noqa: E402
from onnxprune.choice import sample  # noqa: E402
from onnxprune.graph import load  # noqa: E402
from onnxprune.rewrite import prune  # noqa: E402
from onnxprune.units import Units, find_units  # noqa: E402
from onnxprune.verification import Verifier  # noqa: E402

pytestmark = pytest.mark.torch


class Tagger(nn.Module):
    """Two recurrent layers, and a head on every step."""

    def __init__(self, layer: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, 8)
        self.layers = layer(8, 10, num_layers=2, batch_first=True, **options)
        self.head = nn.Linear(20 if self.layers.bidirectional else 10, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer, _ = self.layers(torch.relu(self.embedding(x)))
        return self.head(answer)


class Classifier(Tagger):
    """The same with a head on the last state of the last layer."""

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.layers(torch.relu(self.embedding(x)))
        state = state[0] if isinstance(state, tuple) else state
        last = torch.cat([state[-2], state[-1]], -1) if self.layers.bidirectional else state[-1]
        return self.head(last)


def exported(module: nn.Module, exporter: Any) -> Units:
    """The units of the module's file; all its pruned files are right."""
    units = find_units(load(ot.export(module, torch.randn(2, 5, 6), exporter=exporter)))
    verifier = Verifier(units)
    for seed in range(4):
        sample(units, seed)
        verifier.verify(prune(units), "torch").check()
    units.reset()
    return units


def sizes(units: Units) -> list[int]:
    return sorted(unit.num_channels for unit in units.mutable)


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
@pytest.mark.parametrize("both", [True, False], ids=["bidirectional", "forward"])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_every_layer_has_hidden_channels_of_its_own(layer: Any, both: bool, exporter: Any) -> None:
    module = randomise(Tagger(layer, bidirectional=both), seed=1)
    units = exported(module, exporter)
    assert sizes(units) == [8, 10, 10]
    assert units.prunable_share() > 0.99
    ot.assert_parity(module, torch.randn(2, 5, 6), 6, exporter)


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_a_head_on_the_last_state(layer: Any, exporter: Any) -> None:
    module = randomise(Classifier(layer, bidirectional=True), seed=2)
    units = exported(module, exporter)
    assert sizes(units) == [8, 10, 10]
    ot.assert_parity(module, torch.randn(2, 5, 6), 6, exporter)


def test_a_recurrent_layer_without_gates_or_bias() -> None:
    module = randomise(Tagger(nn.RNN, bias=False), seed=3)
    assert sizes(exported(module, "legacy")) == [8, 10, 10]
    ot.assert_parity(module, torch.randn(2, 5, 6), 6, "legacy")


class Packed(Tagger):
    """The tagger on sequences of different length."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        given = torch.relu(self.embedding(x))
        packed = pack_padded_sequence(given, lengths, batch_first=True, enforce_sorted=False)
        answer, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True)
        return self.head(answer)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
def test_sequences_of_different_length(layer: Any) -> None:
    module = randomise(Packed(layer, bidirectional=True), seed=4)
    example = torch.randn(3, 5, 6), torch.tensor([5, 2, 4])
    units = find_units(load(ot.export(module, example, exporter="legacy")))
    feeds = {"x": example[0].numpy(), "lengths": example[1].numpy()}
    verifier = Verifier(units, feeds)
    for seed in range(4):
        sample(units, seed)
        verifier.verify(prune(units), "torch").check()
    assert sizes(units) == [8, 10, 10]
