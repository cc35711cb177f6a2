"""A model with real inputs: what it is calibrated with, what it is tested on, how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from onnxprune.calibration import Calibration
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds, open_session
from tools.catalog import MODELS
from tools.fetch import FetchError, fetch

__all__ = ["Answers", "Array", "Case", "batched", "model_path"]

Array = npt.NDArray[Any]
Answers = list[Any]
"""What a model says of each sample, in order: a label, a text, a mask."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model with real inputs.

    Attributes:
        name: The model, as the catalog calls it.
        path: Its file.
        about: What the inputs are and how the answers are judged, for the page.
        sizes: The shape of one sample of each input, with which MACs are counted.
        output: The output that is read.
        calibration: Inputs without labels, none of which is a test input.
        tests: Inputs that it is judged on.
        read: The output for a batch -> the answer to each of its samples.
        quality: (the original's answers, the pruned model's) -> named figures, in the order of
            the page.
    """

    name: str
    path: Path
    about: str
    sizes: Mapping[str, Sequence[int]]
    output: str
    calibration: Calibration
    tests: Sequence[Feeds]
    read: Callable[[Array], Answers]
    quality: Callable[[Answers, Answers], dict[str, float]]

    def answers(self, model: Graph | Path) -> Answers:
        """What a model, the original or one made of it, says of every test input."""
        session = open_session(model)
        found: Answers = []
        for feeds in self.tests:
            found += self.read(np.asarray(session.run([self.output], feeds)[0]))
        return found

    def sized(self) -> onnx.ModelProto:
        """The model with the shapes of `sizes`, to count MACs with; its units have the same names.

        A dynamic size counts as 1 otherwise, which is not what a convolution costs.
        """
        model = onnx.load(self.path)
        for value in model.graph.input:
            dims = value.type.tensor_type.shape.dim
            for dim, size in zip(dims, self.sizes[value.name], strict=True):
                dim.dim_value = size
        return model


def batched(name: str, samples: Iterable[Array], size: int) -> list[Feeds]:
    """Samples of one shape as feeds of one input, so many at a time."""
    stacked = np.stack(list(samples))
    return [{name: stacked[start : start + size]} for start in range(0, len(stacked), size)]


def model_path(name: str, folder: Path) -> Path:
    """The file of a model of the catalog, fetched if it is not there.

    Raises:
        FetchError: If it cannot be had.
    """
    [(_, found)] = fetch([MODELS[name]], folder)
    if isinstance(found, FetchError):
        raise found
    return found
