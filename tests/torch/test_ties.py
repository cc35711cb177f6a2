"""Ties: the lower index comes first, as ONNX's TopK has it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

import onnxprune.torch as ot
from onnxprune.torch.ties import OrderedTies

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_top_k_and_sort_of_ties(largest: bool, dim: int) -> None:
    values = torch.randint(0, 3, (40, 50), generator=torch.Generator().manual_seed(0))
    with OrderedTies():
        top = values.topk(9, dim, largest)
        order = values.sort(dim, descending=largest)
        indices = values.argsort(dim, descending=largest)
    key = -values.numpy() if largest else values.numpy()
    expected = np.argsort(key, axis=dim, kind="stable")
    assert (order.indices.numpy() == expected).all()
    assert (indices.numpy() == expected).all()
    assert (top.indices.numpy() == np.take(expected, range(9), dim)).all()
    assert (top.values == values.gather(dim, top.indices)).all()
    assert (order.values == values.gather(dim, order.indices)).all()


class Ranked(nn.Module):
    """The places of the largest of a few whole numbers, so that most of them tie."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 12)
        self.out = nn.Linear(12, 64)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.hidden(x).relu())
        return scores.sign().topk(20).indices


def test_a_module_that_ranks_ties_agrees_with_its_graph() -> None:
    torch.manual_seed(0)
    ot.assert_parity(Ranked(), (torch.randn(3, 6),), choices=8)
