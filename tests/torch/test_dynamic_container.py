"""Containers: who owns which indices, what is kept, what is there."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import mutable  # noqa: E402
from torch import nn  # noqa: E402

from onnxprune.errors import ChoiceError  # noqa: E402
from onnxprune.torch.dynamic import (  # noqa: E402
    DynamicBatchNorm2d,
    DynamicConv2d,
    DynamicEmbedding,
    DynamicLinear,
    DynamicPReLU,
    MutableChannelContainer,
)

pytestmark = pytest.mark.torch


def bits(mask: np.ndarray) -> str:
    return "".join("01"[int(bit)] for bit in mask)


def test_everything_is_kept_at_first() -> None:
    container = MutableChannelContainer(4)
    assert container.current_mask.dtype == bool
    assert bits(container.current_mask) == bits(container.width_mask) == "1111"
    assert repr(container) == "MutableChannelContainer(num_channels=4, activated_channels=4)"
    assert container.state_dict() == {}
    assert container.mutables == []


def test_ranges_are_dealt_out() -> None:
    container = MutableChannelContainer(8)
    container.register_mutable(mutable([1], 2), 2, 6)
    assert bits(container.current_mask) == "11001111"
    container.register_mutable(mutable([0, 1, 2], 4))
    assert bits(container.current_mask) == "11001100"
    assert container.activated_channels == 4
    assert repr(container) == "MutableChannelContainer(num_channels=8, activated_channels=4)"


def test_positions_overlap() -> None:
    container = MutableChannelContainer(6)
    heads, dims = mutable([1], 2), mutable([0, 2], 3)
    container.register(heads, [[0, 1, 2], [3, 4, 5]])
    container.register(dims, [[0, 3], [1, 4], [2, 5]])
    assert bits(container.current_mask) == "000101"
    dims.current_mask = np.array([True, True, False])
    assert bits(container.current_mask) == "000110"
    heads.masked = True
    assert bits(container.current_mask) == "000110"
    assert bits(container.width_mask) == "110110"
    dims.masked = True
    assert bits(container.width_mask) == "111111"
    assert container.mutables == [heads, dims]


def test_the_same_again_is_nothing_new() -> None:
    container = MutableChannelContainer(6)
    owner = mutable([0], 2)
    for positions in ([[0, 3], [4, 5]], [[3, 0], [5, 4]], [[0, 3, 3], [4, 5, 4]]):
        container.register(owner, positions)
    assert len(container._registered) == 1
    container.register(owner, [[1], [2]])
    container.register(mutable([0], 2), [[0, 3], [4, 5]])
    assert len(container._registered) == 3
    assert bits(container.current_mask) == "110100"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (0, 7, "cannot be dealt out equally to the 4 channels"),
        (0, 12, "8 channels has no range from 0 to 12"),
        (-1, 3, "no range from -1 to 3"),
        (4, 4, "no range from 4 to 4"),
    ],
)
def test_ranges_that_do_not_fit(start: int, end: int, words: str) -> None:
    container = MutableChannelContainer(8)
    with pytest.raises(ChoiceError, match=words):
        container.register_mutable(mutable([0], 4), start, end)
    assert container.mutables == []


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([[0], [8]], "axis of size 8 has no position 8"),
        ([[0], [-1]], "axis of size 8 has no position -1"),
        ([[0]], r"shape \(2, repeats\).*shape \(1, 1\)"),
        ([[0.0], [1.0]], "float64"),
        ([[[0]], [[1]]], r"shape \(2, 1, 1\)"),
    ],
)
def test_positions_that_do_not_fit(positions: object, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        MutableChannelContainer(8).register(mutable([0], 2), positions)


def test_a_container_of_nothing() -> None:
    with pytest.raises(ChoiceError, match="at least 1 channel, not 0"):
        MutableChannelContainer(0)


def test_registering_to_a_module() -> None:
    conv = DynamicConv2d(3, 8, 3, 1, 1)
    register = MutableChannelContainer.register_mutable_channel_to_module
    register(conv, mutable([0, 1], 8))
    register(conv, mutable([0], 1), False, 1, 2)
    register(conv, mutable([], 1), False, 2, 3)
    assert bits(conv.get_mutable_attr("out_channels").current_mask) == "11000000"
    assert bits(conv.get_mutable_attr("in_channels").current_mask) == "110"
    norm = DynamicBatchNorm2d(4)
    register(norm, mutable([3], 4), True)
    register(norm, mutable([3, 2], 4), False)
    assert bits(norm.get_mutable_attr("num_features").current_mask) == "0001"
    linear = DynamicLinear(2, 4)
    register(linear, mutable([1], 2), False)
    assert bits(linear.get_mutable_attr("in_features").current_mask) == "01"
    with pytest.raises(ChoiceError, match="Conv2d is no dynamic operator"):
        register(nn.Conv2d(1, 1, 1), mutable([0], 1))
    with pytest.raises(ChoiceError, match="DynamicEmbedding has no container 'in_channels'"):
        register(DynamicEmbedding(3, 4), mutable([0], 1), False)
    with pytest.raises(ChoiceError, match="has no container 'out_channels'; it has: none"):
        register(DynamicPReLU(), mutable([0], 1))


def test_it_prints_as_the_document_shows() -> None:
    conv = DynamicConv2d(3, 8, 3, 1, 1)
    MutableChannelContainer.register_mutable_channel_to_module(conv, mutable([0, 1], 8))
    assert repr(conv) == (
        "DynamicConv2d(\n"
        "  3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)\n"
        "  (mutable_attrs): ModuleDict(\n"
        "    (in_channels): MutableChannelContainer(num_channels=3, activated_channels=3)\n"
        "    (out_channels): MutableChannelContainer(num_channels=8, activated_channels=2)\n"
        "  )\n"
        ")"
    )
