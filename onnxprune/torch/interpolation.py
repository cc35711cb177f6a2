"""Reading an image between its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

__all__ = ["neighbours"]


def neighbours(image: Tensor, rows: Tensor, columns: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around each point, and how much of each makes up the image there.

    Their weighted sum is bilinear interpolation; the image is 0 beyond its border.

    Args:
        image: (b, c, h, w).
        rows: How far down each point lies, (b, p).
        columns: How far to the right, (b, p).

    Yields:
        Pixels, (b, c, p), and their weights, (b, 1, p).
    """
    height, width = image.shape[2:]
    pixels = image.flatten(2)
    top, left = rows.floor(), columns.floor()
    for down, right in product((0, 1), repeat=2):
        y, x = top + down, left + right
        weight = (1 - (rows - y).abs()) * (1 - (columns - x).abs())
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        spread = index.to(torch.int64).unsqueeze(1).expand(-1, image.shape[1], -1)
        yield pixels.gather(2, spread), (weight * inside).unsqueeze(1)
