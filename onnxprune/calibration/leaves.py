"""Images of dead leaves: shapes that hide one another."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["leaves"]

Field = npt.NDArray[np.float64]

_SMALLEST = 1 / 16, 9 / 64
"""Between these lies the least radius of an image, in shorter sides."""

_BLUR = 1 / 64
"""The standard deviation of the blur, in shorter sides."""

_TINT = 0.3
"""What of a colour is not grey."""

_MOST = 1024
"""Leaves; the few pixels that may be bare then are grey."""

_FINE = 128
"""Pixels of a shorter side that show all there is; more are interpolated."""

_AT_ONCE = 1 << 16
"""Pixels of all leaves that are laid at once."""


def leaves(channels: int, height: int, width: int, random: np.random.Generator) -> Field:
    """An image of ellipses and rectangles, each hiding what lies below it.

    Occlusion gives what a spectrum alone does not: edges, flat areas, junctions, and objects of all
    sizes (Lee, Mumford and Huang, IJCV 2001). Radii have the density r^-3, which is invariant to
    scale, from 1/16 to 9/64 of the shorter side on, another part of it in each image; networks can
    even be trained on such images (Baradad et al., NeurIPS 2021,
    https://arxiv.org/abs/2106.05963). Leaves are grey with a tint, edges are blurred by 1/64 of the
    shorter side.

    Args:
        channels: The number of channels.
        height: In pixels.
        width: In pixels.
        random: What they are drawn by.

    Returns:
        (channels, height, width) values from 0 to 1.
    """
    coarse = min(1.0, _FINE / min(height, width))
    rows, columns = math.ceil(height * coarse), math.ceil(width * coarse)
    image = _blurred(_laid(channels, rows, columns, random), _BLUR * min(rows, columns))
    return _stretched(_stretched(image, 1, height), 2, width)


def _laid(channels: int, height: int, width: int, random: np.random.Generator) -> Field:
    """The leaves with sharp edges, laid from the uppermost down."""
    image = np.full((channels, height, width), 0.5)
    bare = np.ones((height, width), bool)
    smallest = min(height, width) * math.exp(random.uniform(*np.log(_SMALLEST)))
    count = max(1, _AT_ONCE // bare.size)
    for _ in range(0, _MOST, count):
        colours = random.random((channels, count)) * _TINT + random.random(count) * (1 - _TINT)
        inside = _inside(height, width, smallest, count, random)
        fresh = bare & inside.any(axis=0)
        image[:, fresh] = colours[:, inside.argmax(axis=0)[fresh]]
        bare &= ~fresh
        if not bare.any():
            break
    return image


def _inside(
    height: int, width: int, smallest: float, count: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(count, height, width) the pixels of each of some leaves, wherever they lie."""
    share = random.random(count)
    radius = 1 / np.sqrt(share / max(height, width) ** 2 + (1 - share) / smallest**2)
    size = np.array([height, width])[:, None]
    centre = random.random((2, count)) * (size + 2 * radius) - radius
    turn, stretch = random.random(count) * math.pi, np.exp(0.4 * random.standard_normal(count))
    down = (np.arange(height) - centre[0, :, None]).astype(np.float32)[:, :, None]
    right = (np.arange(width) - centre[1, :, None]).astype(np.float32)[:, None, :]
    cos, sin = (f(turn).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    wide, high = ((a * radius).astype(np.float32)[:, None, None] for a in (1 / stretch, stretch))
    along, across = np.abs(cos * right + sin * down) / wide, np.abs(cos * down - sin * right) / high
    ellipse = (random.random(count) < 0.5)[:, None, None]
    return np.asarray(np.where(ellipse, along**2 + across**2, np.maximum(along, across)) < 1)


def _blurred(image: Field, sigma: float) -> Field:
    """Convolved with a Gaussian; mirrored at the borders."""
    height, width = image.shape[1:]
    edge = math.ceil(6 * sigma)
    mirrored = np.pad(image, ((0, 0), (edge, edge), (edge, edge)), mode="symmetric")
    size = mirrored.shape[1:]
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    gain = np.exp(-2 * np.square(np.pi * sigma * frequency))
    spectrum: npt.NDArray[np.complex128] = np.fft.rfft2(mirrored) * gain
    blurred = np.fft.irfft2(spectrum, s=size)[:, edge : edge + height, edge : edge + width]
    return np.clip(blurred, 0, 1)


def _stretched(image: Field, axis: int, size: int) -> Field:
    """Interpolated to another size of an axis."""
    old = image.shape[axis]
    if old == size:
        return image
    place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.minimum(place.astype(np.int64), old - 2) if old > 1 else np.zeros(size, np.int64)
    part = np.expand_dims(place - low, [i for i in range(image.ndim) if i != axis])
    upper = np.minimum(low + 1, old - 1)
    return np.asarray(image.take(low, axis) * (1 - part) + image.take(upper, axis) * part)
