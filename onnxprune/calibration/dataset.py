"""Data as a user has them -> batches as a graph takes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxprune.calibration.arrays import array_source, file_source, sequence_source
from onnxprune.calibration.calibration import Calibration
from onnxprune.calibration.convert import Converter
from onnxprune.calibration.images import folder_source
from onnxprune.calibration.inputs import batch_size, inputs_of
from onnxprune.calibration.noise import NOISES, noise_source
from onnxprune.calibration.preprocess import Preprocess
from onnxprune.calibration.source import Indices, Source, hashed
from onnxprune.calibration.telling import most_telling
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds

__all__ = ["Dataset", "read_dataset"]

NOISE_SAMPLES = 256
SUFFIXES = (".npy", ".npz")
HELD_OUT = 8
"""One sample in so many is held out."""
MOST_HELD_OUT = 256


class Dataset(Calibration):
    """Samples that were chosen from a source, batch by batch.

    Args:
        source: Where they come from.
        indices: Which of its samples, (samples,).
        batch: How many samples a batch has; the last one may have fewer.
        origin: What they are, for reports.
        fingerprint: A hash of where they come from, and of what is done to them.
        fixed: Whether the graph takes no batches but those of that many samples.

    Attributes:
        indices: Which samples of the source there are, in their order, (samples,).
        total: How many samples the source has.
        names: For every sample of the source its file below `path`; none if they are not files.
        path: The file or folder they come from, None if they do not.
    """

    def __init__(
        self,
        source: Source,
        indices: Indices,
        batch: int,
        origin: str,
        fingerprint: str,
        fixed: bool = False,
    ) -> None:
        more = (source.natural, source.correlated)
        super().__init__(self._read, len(indices), origin, fingerprint, *more)
        self._source, self._batch, self._fixed = source, batch, fixed
        self.indices, self.total = indices, source.total
        self.names, self.path = source.names, source.path

    def split(self) -> tuple[Dataset, Dataset | None]:
        """Part them into samples to fit with and samples to look at afterwards.

        One sample in eight is held out, at most 256, spread evenly over all; whole batches where
        the graph takes no others.

        Returns:
            The samples to fit with, and those held out; None where there are too few for any.
        """
        size = self._batch if self._fixed else 1
        blocks = len(self.indices) // size
        held = min(blocks // HELD_OUT, max(1, MOST_HELD_OUT // size))
        if not held:
            return self, None
        apart = np.zeros(blocks, bool)
        apart[(np.arange(held) * blocks + blocks // 2) // held] = True
        chosen = apart.repeat(size)
        return self._part(~chosen, "to fit with"), self._part(chosen, "held out")

    def _part(self, chosen: npt.NDArray[np.bool_], what: str) -> Dataset:
        indices = self.indices[chosen]
        origin = f"{self.origin}; {len(indices):,} of these, {what}"
        fingerprint = hashed(self.fingerprint, indices.tobytes())
        return Dataset(self._source, indices, self._batch, origin, fingerprint, self._fixed)

    def _read(self) -> Iterator[Feeds]:
        for start in range(0, len(self.indices), self._batch):
            yield self._source.read(self.indices[start : start + self._batch])


def read_dataset(
    source: Any,
    graph: Graph,
    *,
    samples: int | None = None,
    seed: int = 0,
    batch: int = 32,
    preprocess: Preprocess | None = None,
    input: str | None = None,
) -> Dataset:
    """Samples for a graph, read when they are needed and never all at once.

    Args:
        source: A folder of images (searched with what is below it, in the order of their names); a
            ``.npy`` file or an array for a graph of one input; a ``.npz`` file or a dict of arrays,
            one for each input; a sequence of feeds or arrays; ``"noise"`` (normal), ``"uniform"``,
            ``"pink"`` or ``"leaves"`` (images), which need no data. Samples are on the first axis
            of arrays, images (n, channels, height, width), (n, height, width, channels) or grey.
        graph: The graph that they are for.
        samples: How many, drawn at random if there are more; all by default, 256 of noise.
        seed: Of the draw, and of noise.
        batch: How many samples a batch has, where the graph does not say. Where it says more than
            one, samples that do not fill a batch are left out, and `origin` counts them.
        preprocess: What is done to the pixels of images.
        input: The input that takes images; by default every one of four axes.

    Returns:
        The samples, in batches.

    Raises:
        OnnxPruneError: If the data cannot be read or do not fit the graph.
        MissingExtra: If images are to be read and Pillow is not installed, or sizes of noise to
            be found and onnxruntime is not.
    """
    _check(samples, seed)
    inputs, preprocess = inputs_of(graph), preprocess or Preprocess()
    size, fixed = batch_size(inputs, batch)
    if _is_noise(source):
        total = samples or max(NOISE_SAMPLES, size)
        found = noise_source(source, graph, inputs, preprocess, total, seed)
    elif isinstance(source, str | os.PathLike) and Path(source).is_dir():
        found = folder_source(Path(source), inputs, preprocess, input)
    else:
        found = _arrays(source, Converter(inputs, preprocess, input))
    if not found.total:
        raise OnnxPruneError(f"{found.path or found.what}: there are no samples")
    indices = _drawn(found.total, samples, seed)
    used = len(indices) // size * size if fixed else len(indices)
    if not used:
        raise OnnxPruneError(
            f"The model takes batches of {size} samples, and there are only {len(indices)}; give "
            f"more"
        )
    found.read(indices[:1])  # what does not fit is told before any work begins
    random = found.correlated and not found.natural
    chosen = most_telling(graph, found.read, used, size) if random else indices[:used]
    options = (samples, seed, size, preprocess, input, [str(item) for item in inputs])
    origin = _origin(found, len(indices), used, size, seed)
    fingerprint = hashed(found.fingerprint, options)
    return Dataset(found, chosen, size, origin, fingerprint, fixed)


def _check(samples: int | None, seed: int) -> None:
    if samples is not None and samples < 1:
        raise OnnxPruneError(f"{samples} samples are none; give 1 or more")
    if seed < 0:
        raise OnnxPruneError(f"The seed {seed} is negative; give 0 or more")


def _is_noise(source: Any) -> bool:
    return isinstance(source, str) and source in NOISES


def _arrays(source: Any, convert: Converter) -> Source:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise OnnxPruneError(
                f"{path}: no such file or folder; check the path, or give 'noise', 'uniform', "
                f"'pink' or 'leaves'"
            )
        if path.suffix.lower() not in SUFFIXES:
            raise OnnxPruneError(
                f"{path}: data are a folder of images, a .npy or a .npz file; this is none of them"
            )
        return file_source(path, convert)
    if isinstance(source, np.ndarray):
        named = {next(iter(convert.inputs)): source}
        return array_source(named, convert, "samples of an array")
    if isinstance(source, Mapping):
        named = {name: np.asarray(array) for name, array in source.items()}
        return array_source(named, convert, "samples of arrays")
    if isinstance(source, Sequence) or (
        hasattr(source, "__len__") and hasattr(source, "__getitem__")
    ):
        return sequence_source(source, convert)
    raise OnnxPruneError(
        f"Data cannot be a {type(source).__name__}, which is not read again and again; give a "
        f"path, an array, a dict of arrays, or a list of feeds or arrays, as list(...) makes it"
    )


def _drawn(total: int, samples: int | None, seed: int) -> Indices:
    """Which samples, in ascending order."""
    if samples is None or samples >= total:
        return np.arange(total)
    chosen = np.random.default_rng(seed).choice(total, samples, replace=False, shuffle=False)
    return np.sort(chosen).astype(np.int64)


def _origin(found: Source, drawn: int, used: int, size: int, seed: int) -> str:
    """``512 of 50,000 images of photos, seed 0``."""
    of = f" of {found.total:,}" if used < found.total else ""
    random = drawn < found.total or not found.natural
    left = f" ({drawn - used} do not fill a batch of {size})" if used < drawn else ""
    return f"{used:,}{of} {found.what}{f', seed {seed}' if random else ''}{left}"
