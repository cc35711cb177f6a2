"""Latency in onnxruntime, models interleaved in one run so that they share the machine's moods."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxprune.graph import Graph
from onnxprune.runtime.feeds import Feeds
from onnxprune.runtime.session import open_session

__all__ = ["Latency", "bench"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one inference.

    Attributes:
        median: Half of the runs took less.
        p90: Nine of ten runs took less.
    """

    median: float
    p90: float


def bench(
    models: Sequence[Graph | Path], feeds: Feeds, runs: int = 100, threads: int = 0
) -> list[Latency]:
    """Measure models on the same inputs, one run of each in turn.

    Args:
        models: The models.
        feeds: The inputs.
        runs: How often each model runs, after a tenth as many runs to warm up.
        threads: Threads within an operator, 0 for onnxruntime's default.

    Returns:
        The latency of each model.
    """
    sessions = [open_session(model, threads, spinning=True) for model in models]
    times = np.zeros((runs, len(sessions)))
    for i in range(-max(1, runs // 10), runs):
        for j, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, feeds)
            if i >= 0:
                times[i, j] = (time.perf_counter() - start) * 1e3
    return [Latency(float(np.median(t)), float(np.quantile(t, 0.9))) for t in times.T]
