"""Images of dead leaves: shapes that hide one another."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["leaves"]

Field = npt.NDArray[np.float64]

_SMALLEST = 3 / 32
"""The least radius, in shorter sides."""

_BLUR = 1 / 64
"""The standard deviation of the blur, in shorter sides."""

_TINT = 0.3
"""What of a colour is not grey."""

_MOST = 1000
"""Leaves; the few pixels that may be bare then are grey."""


def leaves(channels: int, height: int, width: int, random: np.random.Generator) -> Field:
    """An image of ellipses and rectangles, each hiding what lies below it.

    Occlusion gives what a spectrum alone does not: edges, flat areas, junctions, and objects of all
    sizes (Lee, Mumford and Huang, IJCV 2001). Radii have the density r^-3, which is invariant to
    scale, from 3/32 of the shorter side on; networks can even be trained on such images (Baradad et
    al., NeurIPS 2021, https://arxiv.org/abs/2106.05963). Leaves are grey with a tint, edges are
    blurred by 1/64 of the shorter side.

    Args:
        channels: The number of channels.
        height: In pixels.
        width: In pixels.
        random: What they are drawn by.

    Returns:
        (channels, height, width) values from 0 to 1.
    """
    side, longest = min(height, width), max(height, width)
    image = np.full((channels, height, width), 0.5)
    rows, columns = np.mgrid[:height, :width]
    bare = np.ones((height, width), bool)
    for _ in range(_MOST):  # from the uppermost down
        share = random.random()
        radius = 1 / math.sqrt(share / longest**2 + (1 - share) / (_SMALLEST * side) ** 2)
        at = random.random(2) * (np.array([height, width]) + 2 * radius) - radius
        turn, stretch = random.random() * math.pi, math.exp(0.4 * random.standard_normal())
        down, right = rows - at[0], columns - at[1]
        along = (math.cos(turn) * right + math.sin(turn) * down) * stretch
        across = (math.cos(turn) * down - math.sin(turn) * right) / stretch
        if random.random() < 0.5:
            inside = np.hypot(along, across) < radius
        else:
            inside = np.maximum(np.abs(along), np.abs(across)) < radius
        colour = (1 - _TINT) * random.random() + _TINT * random.random(channels)
        image[:, inside & bare] = colour[:, None]
        bare &= ~inside
        if not bare.any():
            break
    return _blurred(image, _BLUR * side)


def _blurred(image: Field, sigma: float) -> Field:
    """Convolved with a Gaussian; mirrored at the borders."""
    height, width = image.shape[1:]
    mirrored = np.pad(image, ((0, 0), (0, height), (0, width)), mode="symmetric")
    size = 2 * height, 2 * width
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    gain = np.exp(-2 * np.square(np.pi * sigma * frequency))
    spectrum: npt.NDArray[np.complex128] = np.fft.rfft2(mirrored) * gain
    return np.clip(np.fft.irfft2(spectrum, s=size)[:, :height, :width], 0, 1)
