from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import cifar
from tools import train_cifar
from tools.train_cifar import RECIPES, Training


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_cifar, "BATCH", 8)


@pytest.fixture
def images() -> Tensor:
    """Two batches of noise."""
    return torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def training(name: str) -> Training:
    """A training of two epochs, the same every time."""
    torch.manual_seed(0)
    return Training(getattr(cifar, name)(), replace(RECIPES[name], epochs=2), samples=16)


@pytest.mark.parametrize("name", ["resnet20", "vit"])
def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(
    name: str, images: Tensor, tmp_path: Path
) -> None:
    labels = torch.arange(16) % 10
    whole = training(name)
    losses = [whole.epoch(images, labels) for _ in range(2)]
    cut = training(name)
    assert cut.epoch(images, labels) == losses[0]
    cut.save(tmp_path / "cut.pt")
    resumed = training(name)
    resumed.load(tmp_path / "cut.pt")
    assert resumed.done == 1
    assert resumed.epoch(images, labels) == losses[1]
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", RECIPES)
def test_only_weights_decay(name: str) -> None:
    weights, others = training(name).optimizer.param_groups
    assert weights["weight_decay"] == RECIPES[name].weight_decay
    assert others["weight_decay"] == 0
    assert all(p.ndim == 1 for p in others["params"])
    assert all(p.ndim > 1 for p in weights["params"])


def test_images_are_only_mirrored_and_shifted() -> None:
    """Away from the border each is the image, mirrored or not, moved by at most SHIFT pixels."""
    batch = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    shift = train_cifar.SHIFT
    found = train_cifar.augment(batch, torch.Generator().manual_seed(1))
    inner = slice(2 * shift, 32 - 2 * shift)
    for image, moved in zip(batch, found, strict=True):
        places = [
            torch.roll(way, (down, right), (1, 2))
            for way in (image, image.flip(2))
            for down in range(-shift, shift + 1)
            for right in range(-shift, shift + 1)
        ]
        assert any(torch.equal(p[:, inner, inner], moved[:, inner, inner]) for p in places)
