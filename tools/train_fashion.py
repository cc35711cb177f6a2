"""Train `models/fashion.py` on Fashion-MNIST and write the demo model with its data.

Run from the repository root: ``python -m tools.train_fashion``. The data are the official idx
files as the Debian package ``dataset-fashion-mnist`` installs them. All 60,000 training images
are used for training; the test images are read once, after the last step.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import logging
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from models.export import export
from models.fashion import FashionNet, fashionnet

logger = logging.getLogger("train_fashion")

DATA = Path("/usr/share/datasets/fashion-mnist")
SEED = 2026
EPOCHS = 12
BATCH = 256
PEAK_RATE = 0.4
WEIGHT_DECAY = 5e-4
SHIFT = 2  # pixels
TEST_IMAGES = 1_000  # shipped
CALIBRATION_IMAGES = 512  # shipped
STACK_TRACE = "pkg.torch.onnx.stack_trace"


def read_idx(path: Path) -> np.ndarray:
    """The array in a gzipped idx file of unsigned bytes."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes")
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def read_split(data: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 28, 28) and labels (n,) of the split "train" or "t10k", in official order."""
    images = read_idx(data / f"{split}-images-idx3-ubyte.gz")
    return images, read_idx(data / f"{split}-labels-idx1-ubyte.gz")


def as_input(images: np.ndarray) -> Tensor:
    """Bytes (n, 28, 28) as the network wants them: float32 in 0..1, (n, 1, 28, 28)."""
    return torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)


def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and shift each by up to SHIFT pixels, filling with zeros."""
    count, _, height, width = batch.shape
    padded = nn.functional.pad(batch[:, 0], [SHIFT] * 4)
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = down + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = right + torch.where(mirrored, width - 1 - columns, columns)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]][
        :, None
    ]


def train(model: FashionNet, images: Tensor, labels: Tensor, epochs: int) -> None:
    """SGD with momentum on a one-cycle schedule; no validation, so nothing is selected."""
    generator = torch.Generator().manual_seed(SEED)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others}],
        lr=PEAK_RATE,
        momentum=0.9,
        nesterov=True,
    )
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=epochs * steps, pct_start=0.25
    )
    model.train().to(memory_format=torch.channels_last)  # twice as fast on a CPU
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(len(images), generator=generator)[: steps * BATCH]
        for chosen in order.split(BATCH):
            loss = nn.functional.cross_entropy(
                model(augment(images[chosen], generator)), labels[chosen]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        logger.info("epoch %d: training loss %.4f, %.0f s", epoch + 1, total / steps, seconds)
    model.to(memory_format=torch.contiguous_format)


@torch.no_grad()
def correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which images the model classifies correctly."""
    model.eval()
    guesses = [model(batch).argmax(1) for batch in images.split(1_000)]
    return torch.cat(guesses) == labels


def write_onnx(model: nn.Module, example: Tensor, path: Path) -> None:
    """Export with an open batch, less the stack traces, which hold this machine's paths."""
    export(model, example, path, dynamic=True)
    onnx_model = ir.load(path)
    for node in onnx_model.graph:
        node.metadata_props.pop(STACK_TRACE, None)
    ir.save(onnx_model, path)


def main() -> None:
    """Train, evaluate once, and write the model and its data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the idx files")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder to write to")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--checkpoint", type=Path, help="keep the trained weights here; if there, do not train"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(SEED)
    torch.set_num_threads(2)

    images, labels = read_split(options.data, "train")
    model = fashionnet()
    if options.checkpoint and options.checkpoint.exists():
        model.load_state_dict(torch.load(options.checkpoint))
    else:
        start = time.perf_counter()
        train(model, as_input(images), torch.from_numpy(labels).long(), options.epochs)
        logger.info("trained in %.0f s", time.perf_counter() - start)
        if options.checkpoint:
            torch.save(model.state_dict(), options.checkpoint)

    test_images, test_labels = read_split(options.data, "t10k")
    right = correct(model, as_input(test_images), torch.from_numpy(test_labels)).double()
    logger.info("test accuracy on all %d: %.2f %%", len(right), 100 * right.mean())
    shipped = 100 * right[:TEST_IMAGES].mean()
    logger.info("test accuracy on the first %d: %.1f %%", TEST_IMAGES, shipped)

    write_onnx(model, torch.rand(2, 1, 28, 28), options.out / "fashion.onnx")
    np.savez_compressed(
        options.out / "fashion_test.npz",
        images=test_images[:TEST_IMAGES],
        labels=test_labels[:TEST_IMAGES],
    )
    np.savez_compressed(options.out / "fashion_calibration.npz", images=images[:CALIBRATION_IMAGES])
    digest = hashlib.sha256((options.out / "fashion.onnx").read_bytes()).hexdigest()
    logger.info("sha256 of fashion.onnx: %s", digest)


if __name__ == "__main__":
    main()
