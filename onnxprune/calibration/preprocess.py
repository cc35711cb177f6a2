"""What is done to the pixels of an image before a model sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.inputs import Input
from onnxprune.errors import OnnxPruneError

__all__ = ["CROPS", "LAYOUTS", "ORDERS", "ImageInput", "Pixels", "Preprocess"]

LAYOUTS = ("nchw", "nhwc")
CROPS = ("center", "squash")
ORDERS = ("rgb", "bgr", "grey")
CHANNELS = (1, 3, 4)
"""Of images: grey, colour, colour with opacity."""

Pixels = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How the pixels of an image become numbers: (pixel * scale - mean) / std.

    Attributes:
        mean: For each channel, in the order that the model takes, or one for all; none is 0.
        std: Likewise; none is 1.
        scale: What pixels are multiplied with first. None is 1 / 255 for bytes, 1 for floats.
        size: Height and width. None is what the graph says.
        crop: What is done to images of another size: ``center`` resizes them until they cover
            `size` and cuts out the centre, ``squash`` resizes both sides (the names of timm).
        resize: With ``center``, the short side before the centre is cut out; None is that of
            `size`. 256 with a size of 224 is the usual ImageNet evaluation.
        layout: Of the model's input: ``nchw`` or ``nhwc``. None finds it in the graph's shape.
        order: The channels that the model takes: ``rgb``, ``bgr``, or ``grey``. Data are RGB.

    Raises:
        OnnxPruneError: If a value is none of these.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float | None = None
    size: tuple[int, int] | None = None
    crop: str = "center"
    resize: int | None = None
    layout: str | None = None
    order: str = "rgb"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("crop", self.crop, CROPS),
            ("layout", self.layout, (*LAYOUTS, None)),
            ("order", self.order, ORDERS),
        ):
            if value not in known:
                names = ", ".join(word for word in known if word is not None)
                raise OnnxPruneError(f"The {name} of images cannot be '{value}'; give {names}")
        if not all(map(math.isfinite, (*self.mean, *self.std, self.scale or 0.0))):
            raise OnnxPruneError("The mean, std and scale of pixels must be finite numbers")
        if any(value <= 0 for value in self.std) or self.scale == 0:
            raise OnnxPruneError("The std of pixels must be above 0, and their scale not 0")
        if any(side < 1 for side in (*(self.size or ()), self.resize or 1)):
            raise OnnxPruneError("The size of images must be 1 or more, height and width")
        if self.resize is not None and self.crop != "center":
            raise OnnxPruneError("resize is the side before a center crop; it needs that crop")


class ImageInput:
    """An input of a graph that takes images, and how pixels are made fit for it.

    Args:
        graph_input: The input, of four axes.
        preprocess: What is asked for.

    Attributes:
        channels: Of the images that it takes.
        size: Their height and width, None for any.

    Raises:
        OnnxPruneError: If the input takes no images, or the graph and what is asked for differ.
    """

    def __init__(self, graph_input: Input, preprocess: Preprocess) -> None:
        self.input, self.preprocess = graph_input, preprocess
        bytes_ = graph_input.dtype.numpy() == np.uint8
        if len(graph_input.dims) != 4 or not (graph_input.dtype.is_floating_point() or bytes_):
            raise OnnxPruneError(f"The {graph_input} takes no images; give arrays as it takes them")
        if bytes_ and (preprocess.mean or preprocess.std or preprocess.scale is not None):
            raise OnnxPruneError(
                f"The {graph_input} takes pixels as bytes; leave out mean, std and scale"
            )
        self.layout = preprocess.layout or self._found_layout()
        _, *sides = graph_input.shape
        channels = sides.pop(0 if self.layout == "nchw" else 2)
        self.channels = channels or (1 if preprocess.order == "grey" else 3)
        self.size = self._size(sides[0], sides[1])
        self._check_channels()

    def feed(self, pixels: Pixels, where: str) -> npt.NDArray[np.generic]:
        """Images as the graph takes them.

        Args:
            pixels: (n, height, width, channels), bytes or floats, RGB.
            where: What they are of, for the error.

        Raises:
            OnnxPruneError: If the graph does not take such images.
        """
        asked = self.preprocess
        if asked.order == "bgr":
            pixels = pixels[..., ::-1]
        if self.input.dtype.is_floating_point():
            factor = asked.scale or (1 / 255 if pixels.dtype == np.uint8 else 1.0)
            pixels = pixels.astype(np.float32) * np.float32(factor)
            if asked.mean:
                pixels = pixels - np.asarray(asked.mean, np.float32)
            if asked.std:
                pixels = pixels / np.asarray(asked.std, np.float32)
        if self.layout == "nchw":
            pixels = pixels.transpose(0, 3, 1, 2)
        return self.input.fit(np.ascontiguousarray(pixels), where)

    def channels_last(self, pixels: Pixels, where: str) -> Pixels:
        """Images as (n, height, width, channels), whichever of the layouts they have.

        Args:
            pixels: (n, height, width), grey, or four axes. If both layouts are possible it is
                taken to have the model's.
            where: What they are of, for the error.

        Raises:
            OnnxPruneError: If no axis can be that of the channels.
        """
        if pixels.ndim == 3 and self.channels == 1:
            return pixels[..., None]
        axes = {"nchw": 1, "nhwc": 3}
        fit = [
            layout
            for layout, axis in axes.items()
            if pixels.ndim == 4 and pixels.shape[axis] == self.channels
        ]
        if not fit:
            shape = ", ".join(map(str, pixels.shape))
            raise OnnxPruneError(
                f"{where}: ({shape}) are no images of {self._channels()}, which {self.input} "
                f"takes; give arrays of (n, height, width, {self.channels})"
            )
        layout = self.layout if self.layout in fit else fit[0]
        return pixels.transpose(0, 2, 3, 1) if layout == "nchw" else pixels

    def _found_layout(self) -> str:
        shape = self.input.shape
        first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
        if first == last:
            raise OnnxPruneError(
                f"The {self.input} does not tell where its channels are; give the layout, "
                f"nchw or nhwc"
            )
        return "nchw" if first else "nhwc"

    def _size(self, height: int | None, width: int | None) -> tuple[int, int] | None:
        asked = self.preprocess.size
        if asked is None:
            size = None if height is None or width is None else (height, width)
        elif height not in (None, asked[0]) or width not in (None, asked[1]):
            raise OnnxPruneError(
                f"The {self.input} takes no images of {asked[0]}x{asked[1]}; leave out the size"
            )
        else:
            size = asked
        resize = self.preprocess.resize
        if resize is not None and (size is None or resize < min(size)):
            told = "an unknown size" if size is None else f"{size[0]}x{size[1]}"
            raise OnnxPruneError(
                f"A short side of {resize} leaves no centre of {told} to cut out; give a larger "
                f"resize, or the size"
            )
        return size

    def _check_channels(self) -> None:
        asked = self.preprocess
        for name, values in (("mean", asked.mean), ("std", asked.std)):
            if len(values) not in (0, 1, self.channels):
                raise OnnxPruneError(
                    f"{len(values)} numbers for the {name} do not suit {self._channels()}; give "
                    f"one for each channel, or one for all"
                )
        if asked.order == "bgr" and self.channels != 3:
            raise OnnxPruneError(f"{self._channels()} cannot be in the order bgr; leave it out")

    def _channels(self) -> str:
        return f"{self.channels} channel{'' if self.channels == 1 else 's'}"
