"""Inputs without labels, read batch by batch and as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from onnxprune.runtime import Feeds

__all__ = ["Calibration"]


class Calibration:
    """Inputs that a model is calibrated with.

    Args:
        batches: Called for every pass; gives feeds (input -> array, samples on the first axis), the
            same ones each time.
        samples: How many samples that are in all.
        origin: What they are, for the report: ``512 images of photos/``.
        fingerprint: A hash that is another one when the samples are; empty if there is none.
        natural: Whether they are what the model was made for, and not noise.

    Attributes:
        samples: How many samples there are.
        origin: What they are.
        fingerprint: A hash that is another one when the samples are; empty if there is none.
        natural: Whether they are what the model was made for, and not noise.
    """

    def __init__(
        self,
        batches: Callable[[], Iterable[Feeds]],
        samples: int,
        origin: str = "given feeds",
        fingerprint: str = "",
        natural: bool = True,
    ) -> None:
        self._batches = batches
        self.samples = samples
        self.origin = origin
        self.fingerprint = fingerprint
        self.natural = natural

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self._batches())

    def __len__(self) -> int:
        return self.samples

    def first(self, samples: int) -> Calibration:
        """The first batches, as many as hold so many samples; all if there are no more."""
        if samples >= self.samples:
            return self

        def batches() -> Iterator[Feeds]:
            left = samples
            for feeds in self:
                yield feeds
                left -= max((array.shape[0] for array in feeds.values() if array.ndim), default=1)
                if left <= 0:
                    return

        return Calibration(batches, samples, self.origin, self.fingerprint, self.natural)
