"""Arrays as a user has them -> feeds as a graph takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.images import resized
from onnxprune.calibration.inputs import Input
from onnxprune.calibration.preprocess import ImageInput, Preprocess
from onnxprune.errors import OnnxPruneError
from onnxprune.runtime import Feeds

__all__ = ["Converter"]


class Converter:
    """Makes arrays fit a graph's inputs.

    An array for an input of images (four axes, floats or bytes) is preprocessed if it holds bytes
    for an input of floats, or if preprocessing is asked for; any other must fit as it is, but for
    the width of its numbers.

    Args:
        inputs: What the graph takes.
        preprocess: What is done to the pixels of images.
        name: The input that takes images; None for all of four axes.

    Raises:
        OnnxPruneError: If there is no such input, or preprocessing is asked for and none takes
            images.
    """

    def __init__(self, inputs: Sequence[Input], preprocess: Preprocess, name: str | None) -> None:
        self.inputs = {item.name: item for item in inputs}
        if name is not None and name not in self.inputs:
            told = ", ".join(f"'{item.name}'" for item in inputs)
            raise OnnxPruneError(f"The model has no input '{name}'; its inputs are {told}")
        self._preprocess, self._asked = preprocess, preprocess != Preprocess()
        self._images: dict[str, ImageInput] = {}
        self._takes_images = {
            item.name
            for item in inputs
            if name in (None, item.name)
            if len(item.dims) == 4
            and (item.dtype.is_floating_point() or item.dtype.numpy() == np.uint8)
        }
        if (self._asked or name is not None) and not self._takes_images:
            raise OnnxPruneError(
                f"No input of the model takes images that could be preprocessed: "
                f"{' '.join(str(item) for item in inputs)} has not four axes of numbers"
            )

    def __call__(self, arrays: Mapping[str, npt.NDArray[np.generic]], where: str) -> Feeds:
        """Make samples fit.

        Args:
            arrays: For each input its samples, on the first axis; inputs without axes theirs.
            where: What they are, for the error.

        Raises:
            OnnxPruneError: If one is missing, or does not fit.
        """
        missing = self.inputs.keys() - arrays.keys()
        if missing:
            raise OnnxPruneError(
                f"{where}: nothing for the input '{min(missing)}'; there is only "
                f"{', '.join(sorted(arrays)) or 'nothing'}"
            )
        return {name: self._converted(name, arrays[name], where) for name in self.inputs}

    def with_samples(self, item: Any, where: str) -> dict[str, npt.NDArray[np.generic]]:
        """What a user gave as one item, as arrays with samples on their first axis.

        Args:
            item: A feed by input name, or the array of a single input; of one sample, without
                the first axis, or of several.
            where: What it is, for the error.

        Raises:
            OnnxPruneError: If it is neither.
        """
        if not isinstance(item, Mapping):
            if len(self.inputs) != 1:
                raise OnnxPruneError(
                    f"{where}: a {type(item).__name__} does not feed {len(self.inputs)} inputs; "
                    f"give a dict of arrays by input name"
                )
            item = {next(iter(self.inputs)): item}
        arrays = {}
        for name in self.inputs.keys() & item.keys():
            try:
                array = np.asarray(item[name])
            except Exception as error:  # whatever the item's own conversion raises
                raise OnnxPruneError(f"{where}: not an array ({error})") from error
            single = array.ndim == len(self.inputs[name].dims) - 1
            arrays[name] = array[None] if single else array
        return arrays

    def _converted(
        self, name: str, array: npt.NDArray[np.generic], where: str
    ) -> npt.NDArray[np.generic]:
        item = self.inputs[name]
        scaled = array.dtype == np.uint8 and item.dtype.is_floating_point()
        if name not in self._takes_images or not (scaled or self._asked):
            return item.fit(np.asarray(array), where)
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise OnnxPruneError(
                f"{where}: {item} is preprocessed from bytes (uint8) or floats, not {array.dtype}"
            )
        if name not in self._images:
            self._images[name] = ImageInput(item, self._preprocess)
        image_input = self._images[name]
        pixels = image_input.channels_last(np.asarray(array), where)
        return image_input.feed(resized(pixels, image_input, where), where)
