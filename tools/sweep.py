"""Prune any models and print a table: ``python -m tools.sweep MODEL.onnx ...``.

Each model is pruned at one ratio and at random choices, every result is loaded in onnxruntime and
verified; latency is measured with the original and the pruned model interleaved in one run. The
exit code is 1 if any result is wrong.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import onnxprune as op
from onnxprune.errors import NothingToPrune
from onnxprune.graph import Graph
from onnxprune.runtime.feeds import Feeds
from onnxprune.verification import Verdict, Verifier
from tools.barriers import held_by

EXPLAINED = 0.99
"""A smaller prunable share has its reason in the notes."""

COLUMNS = (
    *("model", "nodes", "units", "prunable", "label s", "params", "MACs", "latency", "choices"),
    *("largest error", "notes"),
)


@dataclass(slots=True)
class Row:
    """What came of one model.

    Attributes:
        seconds: CPU seconds for labelling and finding units.
        rewriting: CPU seconds for making the first smaller graph.
        held: Barriers that keep parameters whole -> the share they hold, if asked for.
    """

    name: str
    nodes: int = 0
    units: int = 0
    prunable: float = 0.0
    seconds: float = 0.0
    params: str = ""
    macs: str = ""
    latency: str = ""
    choices: int = 0
    error: float = 0.0
    note: str = ""
    references: tuple[str, ...] = ()
    failed: bool = False
    rewriting: float = 0.0
    held: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        cells = [self.name, self.nodes, self.units, f"{self.prunable:.4f}", f"{self.seconds:.2f}"]
        cells += [
            self.params,
            self.macs,
            self.latency,
            self.choices,
            f"{self.error:.1e}",
            self.note,
        ]
        return f"| {' | '.join(map(str, cells))} |"


def examine(
    path: Path,
    name: str,
    ratio: float = 0.5,
    samples: int = 10,
    feeds: Feeds | None = None,
    references: Sequence[str] = ("auto",),
    expected_units: int | None = None,
    barriers: bool = False,
) -> Row:
    """Prune a model at a ratio and at random choices, and verify every result.

    Args:
        path: The model.
        name: What the row is called.
        ratio: The ratio, the first choice.
        samples: The number of random choices.
        feeds: Inputs; random ones if None.
        references: What the first choice is verified against; the others against the first.
        expected_units: How many units may lose channels; any other number is a failure.
        barriers: Whether to measure what each barrier holds.
    """
    row = Row(name)
    try:
        graph = op.load(path)
        start = time.process_time()
        units = op.find_units(graph)
        row.seconds = time.process_time() - start
        row.nodes, row.units = len(graph.nodes), len(units.mutable)
        row.prunable = units.prunable_share()
        if expected_units not in (None, row.units):
            row.failed, row.note = True, f"{expected_units} units were expected"
        if barriers:
            row.held = {str(barrier): held.share for barrier, held in held_by(units).items()}
        op.choose(units, op.ratio(ratio))
        verifier = Verifier(units, feeds)
        start = time.process_time()
        small = op.prune(units)
        row.rewriting = time.process_time() - start
        for name in references:
            _note(row, verifier.verify(small, name))
        _costs(row, graph, small, verifier.runs[0])
        row.choices = 1
        for seed in range(samples):
            op.sample(units, seed)
            _note(row, verifier.verify(op.prune(units), references[0]))
            row.choices += 1
        if row.prunable < EXPLAINED and not row.note:
            operators = dict.fromkeys(str(b) for b in units.barriers() if b.op)
            row.note = "; ".join([*operators][:2])
    except (
        op.OnnxPruneError
    ) as error:  # a model that is barred is right, unless units were promised
        row.failed = expected_units is not None or not isinstance(error, NothingToPrune)
        row.note = f"{type(error).__name__}: {error}"
    return row


def _note(row: Row, verdict: Verdict) -> None:
    row.error = max(row.error, verdict.max_error or 0.0)
    row.references = tuple(dict.fromkeys((*row.references, verdict.reference)))
    if not verdict.passed and not row.failed:  # the first failure is the one to look at
        row.failed = True
        row.note = "; ".join(verdict.problems)
    elif verdict.notes and not row.failed:
        row.note = "; ".join(verdict.notes[:1])


def _costs(row: Row, graph: Graph, small: Graph, feeds: Feeds) -> None:
    before, after = op.cost(graph), op.cost(small)
    row.params = f"{before.params:,} -> {after.params:,}"
    row.macs = f"{before.macs:,} -> {after.macs:,}"
    runs = int(np.clip(2e9 / max(before.macs, 1), 5, 50))
    old, new = op.bench([graph, small], feeds, runs=runs, threads=1)
    row.latency = f"{old.median:.2f} -> {new.median:.2f} ms"


def print_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    return "\n".join([f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|", *map(str, rows)])


def main() -> int:
    """Examine the models named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.sweep", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--samples", type=int, default=10, help="random choices of each model")
    options = parser.parse_args()
    rows = []
    for path in options.models:
        name = path.stem if path.stem != "model" else path.parent.name
        rows.append(examine(path, name, options.ratio, options.samples))
        print(rows[-1], flush=True)
    print(f"\n{print_table(rows)}")
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
