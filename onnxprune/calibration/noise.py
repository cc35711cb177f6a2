"""Noise, where there are no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.calibration.inputs import Input
from onnxprune.calibration.leaves import leaves
from onnxprune.calibration.preprocess import ImageInput, Pixels, Preprocess
from onnxprune.calibration.source import Indices, Source, hashed
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime import (
    Feeds,
    RuntimeRefusal,
    find_feeds,
    integer_range,
    open_session,
)

__all__ = ["NOISES", "noise_source"]

NOISES = {
    "noise": "Gaussian noise",
    "uniform": "uniform noise",
    "pink": "pink noise",
    "leaves": "dead leaves",
}
_FIELDS = ("pink", "leaves")


def noise_source(
    kind: str, graph: Graph, inputs: Sequence[Input], preprocess: Preprocess, total: int, seed: int
) -> Source:
    """Random samples of the shapes that the graph takes.

    Floats are normal, mean 0 and variance 1 (``noise``), uniform in [0, 1) (``uniform``), or for
    images ``pink``: amplitudes fall with the frequency as those of photographs do (Field, 1987),
    mean 1/2, standard deviation 1/4, cut off at 0 and 1, or ``leaves``: shapes that hide one
    another, see `onnxprune.calibration.leaves`; other inputs are uniform then. Integers, masks and
    booleans are as in `onnxprune.runtime.find_feeds`, which also finds dynamic sizes by trial in
    onnxruntime. Sample i depends on the seed and i alone.

    Args:
        kind: ``noise``, ``uniform``, ``pink`` or ``leaves``.
        graph: The graph.
        inputs: What it takes.
        preprocess: Of images; of other samples only its size and layout count.
        total: How many samples.
        seed: Of the generator.

    Raises:
        OnnxPruneError: If other preprocessing is asked for, or no sizes are found with which the
            graph runs.
    """
    pixels = _of_pixels(kind, preprocess)
    shapes, found = _sized(graph, inputs, preprocess)
    fields = {i.name: i for i in inputs if _is_field(kind, i.dtype, shapes[i.name])}
    if pixels and not fields:
        raise OnnxPruneError(f"'{kind}': the model takes no images; leave out mean, std and scale")
    ranges = {v.name: integer_range(graph, v) for v in graph.inputs}
    images = {name: ImageInput(item, preprocess) for name, item in fields.items() if pixels}

    def read(indices: Indices) -> Feeds:
        randoms = [np.random.default_rng((seed, int(index))) for index in indices]
        drawn: Feeds = {}
        for item in inputs:
            if not item.dims:
                drawn[item.name] = found[item.name]
                continue
            samples = [
                _drawn(item, shapes[item.name], kind, ranges[item.name], random)
                for random in randoms
            ]
            drawn[item.name] = np.stack(samples).astype(item.dtype.numpy())
            if item.name in images:
                drawn[item.name] = _preprocessed(images[item.name], drawn[item.name], kind)
        return drawn

    return Source(
        *(total, f"samples of {NOISES[kind]}", hashed(kind, seed, shapes), read),
        natural=False,
        correlated=bool(fields),
    )


def _of_pixels(kind: str, preprocess: Preprocess) -> bool:
    """Whether something is to be done to the pixels of images."""
    plain = Preprocess(size=preprocess.size, layout=preprocess.layout)
    known, said = plain, "size and layout"
    if kind in _FIELDS:
        pixels = ("mean", "std", "scale")
        known = replace(plain, **{name: getattr(preprocess, name) for name in pixels})
        said = f"{', '.join(pixels)}, {said}"
    if preprocess != known:
        raise OnnxPruneError(f"'{kind}' is drawn as the model takes it; give no more than {said}")
    return preprocess != plain


def _preprocessed(image: ImageInput, drawn: Pixels, kind: str) -> Pixels:
    """Images of values from 0 to 1 as the graph takes them; a scale is that of bytes."""
    factor = np.float32(1 if image.preprocess.scale is None else 255)
    return image.feed(image.channels_last(drawn.astype(np.float32) * factor, kind), kind)


def _sized(
    graph: Graph, inputs: Sequence[Input], preprocess: Preprocess
) -> tuple[dict[str, tuple[int, ...]], Feeds]:
    """The shape of one sample of every input; feeds that run, where these are not told."""
    told = {item.name: _shape(item, preprocess) for item in inputs}
    unknown = any(None in shape for shape in told.values())
    found = _found(graph) if unknown or any(not item.dims for item in inputs) else {}
    shapes = {
        name: tuple(
            found[name].shape[axis] if size is None else size for axis, size in enumerate(shape, 1)
        )
        for name, shape in told.items()
    }
    return shapes, found


def _shape(item: Input, preprocess: Preprocess) -> tuple[int | None, ...]:
    """The shape of one sample, None for what is not known."""
    if preprocess.size is None or len(item.dims) != 4:
        return item.shape[1:]
    image_input = ImageInput(item, preprocess)
    sides = (image_input.size or (None, None),)
    channels = item.shape[1 if image_input.layout == "nchw" else 3]
    height, width = sides[0]
    order = (channels, height, width), (height, width, channels)
    return order[0 if image_input.layout == "nchw" else 1]


def _found(graph: Graph) -> Feeds:
    try:
        return find_feeds(graph, open_session(graph))[0]
    except RuntimeRefusal as error:
        raise OnnxPruneError(f"{graph.source}: onnxruntime does not load it: {error}") from error


def _drawn(
    item: Input,
    shape: tuple[int, ...],
    kind: str,
    whole: tuple[int, int],
    random: np.random.Generator,
) -> npt.NDArray[np.generic]:
    if item.dtype == ir.DataType.BOOL or (item.dtype.is_integer() and "mask" in item.name):
        return np.ones(shape)
    if item.dtype.is_integer():
        return random.integers(*whole, shape, endpoint=True)
    if _is_field(kind, item.dtype, shape):
        return _image(kind, shape, random)
    return random.standard_normal(shape) if kind == "noise" else random.random(shape)


def _is_field(kind: str, dtype: ir.DataType, shape: Sequence[int | None]) -> bool:
    """Whether a sample is drawn as a field whose neighbours vary together."""
    return kind in _FIELDS and len(shape) == 3 and dtype.is_floating_point()


def _image(
    kind: str, shape: tuple[int, ...], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A field (channels, height, width), or with the channels last."""
    last = shape[2] <= 4 < shape[0]  # channels are few
    height, width = shape[:2] if last else shape[1:]
    channels = shape[2] if last else shape[0]
    draw = _pink if kind == "pink" else leaves
    field = draw(channels, height, width, random)
    return np.moveaxis(field, 0, -1) if last else field


def _pink(
    channels: int, height: int, width: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A field (channels, height, width) whose spectrum is 1/f."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1 / max(height, width)
    white = np.fft.rfft2(random.standard_normal((channels, height, width)))
    field = np.fft.irfft2(white / frequency, s=(height, width))
    return np.clip(0.5 + 0.25 * field / max(float(field.std()), 1e-12), 0, 1)
