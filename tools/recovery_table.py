"""What accuracy is left without training, by ratio and method: ``make recovery``.

Trained networks are pruned, every coupled unit of them, and evaluated on the 10,000 official test
images of CIFAR-10; nothing but unlabelled training images is used in between. Results are kept in a
file as they come, so that a run that was cut goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

import onnxprune as op
from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import measure
from onnxprune.graph import Graph
from onnxprune.importance import Evidence
from onnxprune.refit import Options, refit
from onnxprune.units import Units
from tools import obspa
from tools.cifar import read_split

RATIOS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
CALIBRATION = 1024
NOISE = 1024

METHODS: dict[str, tuple[str, str | None]] = {
    "L1": ("l1", None),
    "L1, channel Gram (GRAIL-like)": ("l1", "channel"),
    "OBSPA": ("obspa", "obspa"),
    "L1, one-shot": ("l1", "one-shot"),
    "L1, sequential": ("l1", "sequential"),
    "OBS, one-shot": ("obs", "one-shot"),
    "OBS, sequential": ("obs", "sequential"),
}
"""Method -> the importance and the refit; all units keep one ratio."""

NOISE_METHODS = (
    ("pink", "l1", "local", None),
    ("pink", "l1", "local", "one-shot"),
    ("pink", "obs", "curves", "one-shot"),
    ("pink", "obs", "curves", "sequential"),
    ("leaves", "obs", "curves", "one-shot"),
    ("leaves", "obs", "curves", "sequential"),
)
"""Without data: what is drawn instead, the importance, the scope, and the refit."""

OURS = "OBS, curves, sequential"
"""Widths by error curves, as few MACs as one ratio for all units leaves."""


class Result(msgspec.Struct):
    """One pruning of one model.

    Attributes:
        asked: The ratio of channels that was to stay, or ``macs 0.47``.
        macs: The fraction of the MACs that stayed.
        accuracy: On the test images, 0 to 1.
        matched: The same after mean and variance of every layer were matched to the original's;
            None for a network that computes them anew with every image.
        seconds: For choosing, pruning and refitting.
    """

    model: str
    method: str
    asked: str
    seed: int
    macs: float
    accuracy: float
    matched: float | None
    seconds: float


class Bench:
    """One model, and its calibration images of one seed.

    Args:
        path: The model.
        data: The folder of the data.
        seed: What picks the calibration images.
    """

    def __init__(self, path: Path, data: Path, seed: int) -> None:
        self.path, self.data, self.seed = path, data, seed
        self.units = op.find_units(path)
        self.name = str(self.units.graph.inputs[0].name)
        images = split(data, "train")[0]
        picked = np.random.default_rng(seed).choice(len(images), CALIBRATION, replace=False)
        self.calibration = self._batches(images[np.sort(picked)].astype(np.float32) / 255)
        statistics = measure(self.units.graph, self.calibration, seed=seed)
        self._evidence = Evidence(statistics=statistics)

    def _batches(self, images: np.ndarray) -> Calibration:
        def batches() -> Iterator[dict[str, np.ndarray]]:
            for start in range(0, len(images), 128):
                yield {self.name: images[start : start + 128]}

        return Calibration(batches, len(images), "training images")

    def noise(self, kind: str) -> Calibration:
        """As many images of noise."""
        return op.read_dataset(kind, self.units.graph, samples=NOISE, seed=self.seed, batch=128)

    def run(
        self,
        method: str,
        asked: str,
        choose: Callable[[Units], object],
        how: str | None,
        calibration: Calibration,
    ) -> Result:
        """Choose, prune, refit, evaluate; then match the statistics, evaluate again."""
        start = time.perf_counter()
        choose(self.units)
        small = op.prune(self.units)
        if how == "obspa":
            small = obspa.update(self.units, small, self._evidence.statistics)
        elif how is not None:
            options = Options(method=how, seed=self.seed)
            small = refit(self.units, small, calibration, options).graph
        seconds = time.perf_counter() - start
        matched = None
        if not _normalises(self.units.graph):
            affine = Options(method="affine", seed=self.seed)
            after = refit(self.units, small, calibration, affine).graph
            matched = accuracy(after, self.data)
        left = op.cost(small).macs / op.cost(self.units.graph).macs
        return Result(
            self.path.stem,
            method,
            asked,
            self.seed,
            left,
            accuracy(small, self.data),
            matched,
            seconds,
        )

    def evidence(self, importance: str, scope: str) -> Evidence | None:
        """What the choice needs, measured once."""
        if importance == "l1":
            return None
        if scope == "curves" and self._evidence.sensitivity is None:
            self._evidence = op.measure_evidence(
                self.units, importance, self.calibration, self._evidence, scope
            )
        return self._evidence

    def chosen(self, importance: str, budget: op.Budget, scope: str = "local") -> Callable:
        """A function that makes a choice."""

        def choose(units: Units) -> None:
            evidence = self.evidence(importance, scope)
            op.choose(units, budget, importance, evidence=evidence, scope=scope)

        return choose

    def share(self, ratio: float) -> float:
        """The fraction of the MACs that one ratio for all units leaves."""
        op.choose(self.units, op.ratio(ratio))
        return op.cost(op.prune(self.units)).macs / op.cost(self.units.graph).macs

    def table(self) -> Iterator[tuple[str, str, Callable[[], Result]]]:
        """All results: the method, what is asked for, and what computes it."""
        for ratio in RATIOS:
            for method, (importance, how) in METHODS.items():
                yield (
                    method,
                    str(ratio),
                    lambda m=method, r=ratio, i=importance, h=how: self.run(
                        m, str(r), self.chosen(i, op.ratio(r)), h, self.calibration
                    ),
                )
            yield (
                OURS,
                str(ratio),
                lambda r=ratio: self.run(
                    OURS,
                    str(r),
                    self.chosen("obs", op.macs(self.share(r)), "curves"),
                    "sequential",
                    self.calibration,
                ),
            )

    def targets(self) -> Iterator[tuple[str, str, Callable[[], Result]]]:
        """What is asked for in MACs: 2.11 times fewer with images, 1.5 times with noise alone."""
        yield (
            OURS,
            "macs 1/2.11",
            lambda: self.run(
                OURS,
                "macs 1/2.11",
                self.chosen("obs", op.macs(1 / 2.11), "curves"),
                "sequential",
                self.calibration,
            ),
        )
        for kind, importance, scope, how in NOISE_METHODS:
            method = f"{importance.upper()}, {scope}, {how or 'nothing'}; {kind} only"
            yield (
                method,
                "macs 1/1.5",
                lambda k=kind, m=method, i=importance, s=scope, h=how: self.run(
                    m, "macs 1/1.5", self.chosen_by_noise(k, i, s), h, self.noise(k)
                ),
            )

    def chosen_by_noise(self, kind: str, importance: str, scope: str) -> Callable:
        """A function that makes a choice without any data."""

        def choose(units: Units) -> None:
            data = None if importance == "l1" else self.noise(kind)
            op.choose(units, op.macs(1 / 1.5), importance, data=data, scope=scope)

        return choose


def _normalises(graph: Graph) -> bool:
    """Whether a network has statistics of its own making, which no estimate can set right."""
    return any(node.op_type == "LayerNormalization" for node in graph.nodes)


def accuracy(graph: Graph, data: Path) -> float:
    """On all test images, 0 to 1."""
    images, labels = split(data, "test")
    name = str(graph.inputs[0].name)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(images), 500):
            yield {name: images[start : start + 500].astype(np.float32) / 255}

    found = op.evaluate(graph, Calibration(batches, len(images)), labels)
    return found.accuracy.top1.value


@cache
def split(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split, read once."""
    return read_split(data, name)


INTRODUCTION = """# Recovery without training

Written by `make recovery`: the accuracy that is left on the 10,000 official test images of
CIFAR-10 when every coupled unit of a trained network, residual streams included, may lose channels.
Nothing but {calibration:,} training images, without their labels, is used: no gradient, no
training. The networks are those of [models/cifar.md](../models/cifar.md), their batch norms folded.

Each cell is the accuracy as it is, then after mean and variance of every layer were matched to the
original's on the same images (what estimating batch norm statistics again does), in per cent; the
mean over seeds, which pick the images. A transformer has no such statistics, and one number in each
cell. Columns: the ratio of its channels that every unit keeps, and the MACs that this leaves. In
the last row of methods widths differ by unit, chosen by error curves to leave no more MACs than the
column says.

*L1*, *OBS*: what channels are chosen by. *channel Gram*: as GRAIL, https://arxiv.org/abs/2602.23795.
*OBSPA*: as its paper describes it (`tools/obspa.py`), https://arxiv.org/abs/2403.18955. *one-shot*,
*sequential*: [refit.md](refit.md); `OBS, curves, sequential` is the default with images to
calibrate with, and with `pink` and `leaves`. *pink only*, *leaves only*: nothing but
{noise:,} images of that kind, [drawn at random](evaluation.md#data). *seconds*: to choose, prune
and fit; what was measured of the training images, once for all rows, is not counted, that of noise
is.

onnxruntime {onnxruntime}.
"""


def page(results: list[Result], paths: list[Path], data: Path) -> str:
    """The page, of all that is known."""
    parts = [
        INTRODUCTION.format(
            calibration=CALIBRATION, noise=NOISE, onnxruntime=onnxruntime.__version__
        )
    ]
    for path in paths:
        found = [result for result in results if result.model == path.stem]
        dense = accuracy(op.load(path), data)
        parts.append(f"## {path.stem}\n\nThe original: {100 * dense:.2f} %.\n")
        parts.append(_grid([r for r in found if not r.asked.startswith("macs")]))
        parts.append("| asked for | method | MACs | accuracy | matched | seconds | seeds |")
        parts.append("| --- " * 7 + "|")
        for asked, method in dict.fromkeys(
            (r.asked, r.method) for r in found if r.asked.startswith("macs")
        ):
            cell = [r for r in found if (r.asked, r.method) == (asked, method)]
            shown = (f"{100 * _mean(cell, 'accuracy'):.2f}", _matched(cell, ".2f"))
            parts.append(
                f"| {asked} | {method} | {_mean(cell, 'macs'):.3f} | {shown[0]} | {shown[1]} "
                f"| {_mean(cell, 'seconds'):.0f} | {len(cell)} |"
            )
        parts.append("")
    return "\n".join(parts)


def _grid(found: list[Result]) -> str:
    """Methods by ratios."""
    asked = sorted({r.asked for r in found}, key=float, reverse=True)
    shares = {
        a: _mean([r for r in found if r.asked == a and r.method == "L1"], "macs") for a in asked
    }
    lines = ["| | " + " | ".join(f"{a} ({shares[a]:.2f})" for a in asked) + " |"]
    lines.append("| --- " * (1 + len(asked)) + "|")
    for method in (*METHODS, OURS):
        cells = []
        for ratio in asked:
            cell = [r for r in found if (r.asked, r.method) == (ratio, method)]
            parts = (f"{100 * _mean(cell, 'accuracy'):.1f}", _matched(cell, ".1f"))
            cells.append(" / ".join(filter(None, parts)) if cell else "")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    seeds = (str(len({r.seed for r in found if r.asked == a})) for a in asked)
    return "\n".join([*lines, f"| *seeds* | {' | '.join(seeds)} |", ""])


def _matched(cell: list[Result], form: str) -> str:
    """The mean accuracy of what was matched, nothing where that was not done."""
    if any(result.matched is None for result in cell):
        return ""
    return format(100 * _mean(cell, "matched"), form)


def _mean(found: list[Result], name: str) -> float:
    return float(np.mean([getattr(result, name) for result in found])) if found else 0.0


def main() -> None:
    """Compute what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.recovery_table", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--data", type=Path, default=Path("build/cifar10"))
    parser.add_argument("--results", type=Path, default=Path("build/recovery.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ratios", nargs="+", help="compute only these, targets aside")
    parser.add_argument("--only", help="compute only methods whose name holds this")
    options = parser.parse_args()
    known = read(options.results)
    for seed in range(options.seeds):
        for path in options.models:
            bench = Bench(path, options.data, seed)
            for method, asked, compute in (*bench.targets(), *bench.table()):
                key = path.stem, method, asked, seed
                if key in known or (options.only and options.only not in method):
                    continue
                if options.ratios and asked[0] != "m" and asked not in options.ratios:
                    continue
                known[key] = result = compute()
                print(
                    f"{path.stem} {asked} {method} seed {seed}: {result.accuracy:.4f} "
                    f"{result.matched or 0:.4f} MACs {result.macs:.3f} {result.seconds:.0f} s",
                    flush=True,
                )
                with options.results.open("ab") as file:
                    file.write(msgspec.json.encode(result) + b"\n")
    if options.page:
        options.page.write_text(page(list(known.values()), options.models, options.data))


def read(path: Path) -> dict[tuple[str, str, str, int], Result]:
    """What is known already."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    found = (msgspec.json.decode(line, type=Result) for line in lines)
    return {(r.model, r.method, r.asked, r.seed): r for r in found}


if __name__ == "__main__":
    main()
