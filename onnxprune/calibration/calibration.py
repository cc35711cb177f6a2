"""Inputs without labels, read batch by batch and as often as needed."""

from __future__ import annotations

import hashlib
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
        fingerprint: A hash of where they come from; empty if there is none.
        natural: Whether they are what the model was made for, and not noise.
        correlated: Whether their values vary together as those of what the model was made for do;
            those of independent noise do not, and so tell nothing of covariances.

    Attributes:
        samples: How many samples there are.
        origin: What they are.
        fingerprint: A hash of where they come from; empty if there is none.
        natural: Whether they are what the model was made for, and not noise.
        correlated: Whether their values vary together as those of what the model was made for do.
    """

    def __init__(
        self,
        batches: Callable[[], Iterable[Feeds]],
        samples: int,
        origin: str = "given feeds",
        fingerprint: str = "",
        natural: bool = True,
        correlated: bool = True,
    ) -> None:
        self._batches = batches
        self.samples = samples
        self.origin = origin
        self.fingerprint = fingerprint
        self.natural = natural
        self.correlated = correlated
        self._digest = ""

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self._batches())

    def __len__(self) -> int:
        return self.samples

    def digest(self) -> str:
        """A hash of every element of all batches, for which they are read through once."""
        if not self._digest:
            digest = hashlib.sha256()
            for feeds in self:
                for name, array in sorted(feeds.items()):
                    digest.update(repr((name, str(array.dtype), array.shape)).encode())
                    texts = array.dtype.hasobject
                    digest.update(repr(array.tolist()).encode() if texts else array.tobytes())
                digest.update(b"end of a batch")
            self._digest = digest.hexdigest()
        return self._digest

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

        more = (self.natural, self.correlated)
        return Calibration(batches, samples, self.origin, self.fingerprint, *more)
