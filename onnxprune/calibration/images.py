"""Folders of images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.inputs import Input
from onnxprune.calibration.preprocess import ImageInput, Preprocess
from onnxprune.calibration.source import Indices, Source, hashed
from onnxprune.errors import MissingExtra, OnnxPruneError
from onnxprune.runtime import Feeds

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["folder_source", "resized"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
BYTES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
"""Modes whose channels are bytes; numbers of more bits would be clipped."""


def folder_source(
    folder: Path, inputs: Sequence[Input], preprocess: Preprocess, name: str | None
) -> Source:
    """The images below a folder, in the order of their names; hidden ones are left out.

    Args:
        folder: The folder.
        inputs: What the graph takes: one input, of images.
        preprocess: What is done to the pixels.
        name: The input that takes images, None for the only one.

    Raises:
        OnnxPruneError: If there are no images, or the graph does not take them alone.
        MissingExtra: If Pillow is not installed.
    """
    if len(inputs) != 1 or name not in (None, inputs[0].name):
        told = ", ".join(f"'{item.name}'" for item in inputs)
        raise OnnxPruneError(
            f"{folder}: images alone do not feed the inputs {told}; give a .npz file with one "
            f"array for each"
        )
    image_input = ImageInput(inputs[0], preprocess)
    if image_input.size is None:
        raise OnnxPruneError(
            f"The {image_input.input} takes images of any size; give the size, as 224x224"
        )
    if image_input.channels not in MODES:
        raise OnnxPruneError(
            f"The {image_input.input} takes images of {image_input.channels} channels, which "
            f"image files do not have; give an array (.npy)"
        )
    _pillow()
    files = _files(folder)
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    if not files:
        raise OnnxPruneError(
            f"{folder}: no images in this folder ({', '.join(SUFFIXES)}); check the path"
        )

    def read(indices: Indices) -> Feeds:
        pixels = np.stack([_decode(folder / names[index], image_input) for index in indices])
        return {image_input.input.name: image_input.feed(pixels, str(folder))}

    sizes = tuple(path.stat().st_size for path in files)
    return Source(len(files), f"images of {folder}", hashed(names, sizes), read, names, folder)


def resized(
    pixels: npt.NDArray[np.generic], image_input: ImageInput, where: str
) -> npt.NDArray[np.generic]:
    """Bytes of images made as large, and as grey, as the input takes them.

    Args:
        pixels: (n, height, width, channels), RGB.
        image_input: The input.
        where: What they are of, for the error.

    Raises:
        OnnxPruneError: If they are no bytes, so that they cannot be changed.
        MissingExtra: If Pillow is not installed.
    """
    grey = image_input.preprocess.order == "grey" and image_input.channels != 1
    moved = image_input.preprocess.resize is not None
    if not grey and not moved and image_input.size in (None, pixels.shape[1:3]):
        return pixels
    if pixels.dtype != np.uint8 or image_input.channels not in MODES:
        height, width = image_input.size or pixels.shape[1:3]
        raise OnnxPruneError(
            f"{where}: only bytes (uint8) are resized or made grey, not {pixels.dtype} of "
            f"{pixels.shape[3]} channels; give arrays of {height}x{width}"
        )
    image = _pillow()
    flat = pixels[..., 0] if image_input.channels == 1 else pixels
    return np.stack([_fitted(image.fromarray(one), image_input) for one in flat])


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra(
            "Images are read by Pillow, which is not installed; install it with "
            "pip install 'onnxprune[images]', or give an array (.npy)"
        ) from None
    return Image


def _files(folder: Path) -> list[Path]:
    """Image files below a folder, sorted by their relative names."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _decode(path: Path, image_input: ImageInput) -> npt.NDArray[np.uint8]:
    """The pixels of a file, (height, width, channels)."""
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(path) as image:
                image.load()
                if image.mode in BYTES:
                    return _fitted(image, image_input)
                mode = image.mode
    except Exception as error:  # a damaged file makes Pillow raise whatever it likes
        reason = str(error).replace(str(path), path.name) or type(error).__name__
        raise OnnxPruneError(
            f"{path}: not an image that Pillow can read ({reason}); mend or remove it"
        ) from error
    raise OnnxPruneError(
        f"{path}: its pixels are more than bytes (mode {mode}); save it with 8 bits a channel"
    )


def _fitted(image: Image, image_input: ImageInput) -> npt.NDArray[np.uint8]:
    """The pixels of an image, of the channels and size that the input takes."""
    from PIL.Image import Resampling

    if image_input.preprocess.order == "grey":
        image = image.convert("L")
    image = image.convert(MODES[image_input.channels])
    height, width = image_input.size or (image.height, image.width)
    if image_input.preprocess.crop == "squash":
        image = image.resize((width, height), Resampling.BILINEAR)
    else:
        short = image_input.preprocess.resize or min(height, width)
        sides = _covering(image.size, (width, height), short)
        left, top = round((sides[0] - width) / 2), round((sides[1] - height) / 2)
        if sides != image.size:
            image = image.resize(sides, Resampling.BILINEAR)
        image = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(image)
    return pixels.reshape(height, width, image_input.channels)


def _covering(image: tuple[int, int], size: tuple[int, int], short: int) -> tuple[int, int]:
    """Width and height of an image resized to cover a size enlarged until its short side is that.

    Fractions are cut off, and those of the centre rounded, as torchvision does both.
    """
    width, height = (side * short // min(size) for side in size)
    if image[0] * height >= image[1] * width:
        return height * image[0] // image[1], height
    return width, width * image[1] // image[0]
