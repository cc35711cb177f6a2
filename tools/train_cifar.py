"""Train one of the networks of `models/cifar.py` on CIFAR-10 and write it as ONNX.

Run from the repository root: ``python -m tools.train_cifar resnet20``. All 50,000 training images
are used for training; the test images are read once, after the last step. A run that was cut goes
on from the last whole epoch.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models import cifar
from tools.cifar import read_split
from tools.train_fashion import correct, write_onnx

logger = logging.getLogger("train_cifar")

SEED = 2026
BATCH = 128
SHIFT = 4  # pixels
WARM_UP = 0.2  # of all steps


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        optimizer: Makes the optimizer of groups of parameters; `lr` is the rate.
        peak_rate: The highest rate of the one-cycle schedule.
        weight_decay: Of weights; biases and norms have none.
        epochs: The length of the schedule.
    """

    optimizer: Callable[..., torch.optim.Optimizer]
    peak_rate: float
    weight_decay: float
    epochs: int


NESTEROV = partial(torch.optim.SGD, momentum=0.9, nesterov=True)
RECIPES = {
    "resnet20": Recipe(NESTEROV, peak_rate=0.2, weight_decay=5e-4, epochs=20),
    "resnet56": Recipe(NESTEROV, peak_rate=0.2, weight_decay=5e-4, epochs=20),
    "vit": Recipe(torch.optim.AdamW, peak_rate=1e-3, weight_decay=0.05, epochs=20),
}


def as_input(images: np.ndarray) -> Tensor:
    """Bytes as the network wants them: float32 in 0..1."""
    return torch.from_numpy(images.astype(np.float32) / 255)


def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and shift each by up to SHIFT pixels, filling with grey."""
    count, _, height, width = batch.shape
    padded = nn.functional.pad(batch, [SHIFT] * 4, value=0.5).permute(0, 2, 3, 1)
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = down + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = right + torch.where(mirrored, width - 1 - columns, columns)
    which = torch.arange(count)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Training:
    """One recipe on a one-cycle schedule, kept on disk after every epoch."""

    def __init__(self, model: nn.Module, recipe: Recipe, samples: int) -> None:
        self.model = model.train().to(memory_format=torch.channels_last)
        self.steps = samples // BATCH
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        self.optimizer = recipe.optimizer(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0},
            ],
            lr=recipe.peak_rate,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            recipe.peak_rate,
            total_steps=recipe.epochs * self.steps,
            pct_start=WARM_UP,
        )
        self.generator = torch.Generator().manual_seed(SEED)
        self.done = 0

    def epoch(self, images: Tensor, labels: Tensor) -> float:
        """One pass over the images in a new order; the mean training loss."""
        total = 0.0
        order = torch.randperm(len(images), generator=self.generator)[: self.steps * BATCH]
        for chosen in order.split(BATCH):
            batch = augment(images[chosen], self.generator)
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.model(batch)
            loss = nn.functional.cross_entropy(logits.float(), labels[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            total += loss.item()
        self.done += 1
        return total / self.steps

    def save(self, path: Path) -> None:
        """Everything that the next epoch depends on."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "done": self.done,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def finish(self, epochs: int) -> None:
        """Let the rate fall to zero from where it is, in fewer epochs than were planned."""
        steps = epochs * self.steps
        for group in self.optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.0, steps)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.done = state["done"]


def main() -> None:
    """Train, evaluate once, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--data", type=Path, default=Path("build/cifar10"))
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder to write to")
    parser.add_argument("--epochs", type=int)
    parser.add_argument(
        "--finish", type=int, help="end the run that is under way after this many more epochs"
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)

    images, labels = read_split(options.data, "train")
    model = getattr(cifar, options.network)()
    recipe = RECIPES[options.network]
    epochs = options.epochs or recipe.epochs
    training = Training(model, replace(recipe, epochs=epochs), len(images))
    checkpoint = options.data / f"{options.network}.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    if options.finish:
        training.finish(options.finish)
        epochs = training.done + options.finish
    inputs, targets = as_input(images), torch.from_numpy(labels)
    while training.done < epochs:
        start = time.perf_counter()
        loss = training.epoch(inputs, targets)
        training.save(checkpoint)
        seconds = time.perf_counter() - start
        logger.info("epoch %d: training loss %.4f, %.0f s", training.done, loss, seconds)
    model.to(memory_format=torch.contiguous_format)

    test_images, test_labels = read_split(options.data, "test")
    right = correct(model, as_input(test_images), torch.from_numpy(test_labels)).double()
    logger.info("test accuracy on all %d: %.2f %%", len(right), 100 * right.mean())
    path = options.out / f"{options.network}_cifar10.onnx"
    write_onnx(model, torch.rand(2, 3, 32, 32), path)
    logger.info("sha256 of %s: %s", path.name, hashlib.sha256(path.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
