"""Compare all four answers of the whole zoo, and write the table: ``make parity``.

Every model, by both exporters, at twenty choices. Results are kept in a file as they come, so that
a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import msgspec
import onnxruntime
import torch

from models import ZOO
from models.export import EXPORTERS, Exporter
from models.toys import TOYS
from onnxprune.torch import parity
from onnxprune.verification.parity import ChoiceParity, ParityReport

INTRODUCTION = """# Parity

Written by `make parity`. Every model of `models/`, its parameters random, exported by both of
torch's exporters with an open batch, at {choices} choices each: all channels, one channel of every
fourth unit, half at random, sampled counts in the units' own order, nearly all, and random masks of
random sizes down to one channel. Four answers to each are compared, within
|difference| <= 1e-5 + 1e-4 * |reference|:

- *interpreted*, the reference: the exported graph, interpreted in torch, the removed slices of its
  weights missing;
- *dynamic*: the torch module itself, its layers replaced by dynamic operators;
- *masked*: the exported graph in onnxruntime, the removed slices zero; not judged at choices where
  a statistic or a product of activations runs over removed channels, because zero is not missing;
- *pruned*: the smaller graph in onnxruntime.

{results} comparisons of {models} exports; exports with a failure: {failed}. Where a float32
difference was between one and ten times the tolerance, float64 decided ({rounded} times).

Columns: units that may lose channels, and how many of them the module follows in place, as zeros,
because its forward computes with fixed sizes; the largest difference of any output element, for
each answer; at how many choices the answer was judged; the median effect, which is what a choice
changes at most in any output element: agreement shows something where it is far above the
differences.

torch {torch}, onnxruntime {onnxruntime}.

| model | units | in place | dynamic | masked | judged | pruned | median effect | result |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


class Row(msgspec.Struct):
    """One export of one model."""

    name: str
    exporter: str
    report: ParityReport | None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether all answers agree at all choices."""
        return self.report is not None and self.report.passed

    def __str__(self) -> str:
        if self.report is None:
            return f"| {self.name}, {self.exporter} | | | | | | | | {self.problem} |"
        report, total = self.report, len(self.report.choices)
        judged = sum(c.answers["masked"].agrees is not None for c in report.choices if c.answers)
        effects = sorted(choice.effect for choice in report.choices)
        cells = [
            f"{self.name}, {self.exporter}",
            str(report.units),
            str(len(report.masked)),
            _number(report.worst("dynamic")),
            _number(report.worst("masked")),
            f"{judged} of {total}",
            _number(report.worst("pruned")),
            f"{effects[len(effects) // 2]:.1e}",
            "agreed" if self.passed else "**failed**",
        ]
        return f"| {' | '.join(cells)} |"


def _number(error: float | None) -> str:
    return "" if error is None else f"{error:.1e}"


def compared(name: str, exporter: Exporter, choices: int) -> Row:
    """All answers of one export of one model."""
    torch.set_num_threads(1)
    entry = ZOO.get(name) or TOYS[name]
    module = entry.randomised(seed=1) if name in ZOO else _randomised(name)
    try:
        return Row(name, exporter, parity(module, entry.example(2), choices, exporter))
    except Exception as error:
        return Row(name, exporter, None, f"{type(error).__name__}: {str(error)[:300]}")


def _randomised(name: str) -> torch.nn.Module:
    from models import randomise

    return randomise(TOYS[name].build(), seed=1)


def _all_choices(rows: list[Row]) -> list[ChoiceParity]:
    return [choice for row in rows if row.report is not None for choice in row.report.choices]


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.parity_table", description=__doc__)
    parser.add_argument("out", type=Path, metavar="TABLE.md")
    parser.add_argument("--only", action="append", metavar="NAME", help="repeatable; toys as well")
    parser.add_argument("--choices", type=int, default=20, help="of each export")
    parser.add_argument("--jobs", type=int, default=1, help="exports compared at a time")
    parser.add_argument("--results", type=Path, help="a file of results to go on from")
    options = parser.parse_args()
    cases = list(itertools.product(options.only or [*ZOO], EXPORTERS))
    rows: list[Row] = []
    if options.results is not None and options.results.exists():
        lines = options.results.read_bytes().splitlines()
        rows = [msgspec.json.decode(line, type=Row) for line in lines]
        rows = [row for row in rows if (row.name, row.exporter) in cases]
    known = {(row.name, row.exporter) for row in rows}
    missing = [case for case in cases if case not in known]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context) as pool:
        names, exporters = [name for name, _ in missing], [exporter for _, exporter in missing]
        for row in pool.map(compared, names, exporters, repeat(options.choices)):
            rows.append(row)
            print(row, flush=True)
            if options.results is not None:
                with options.results.open("ab") as file:
                    file.write(msgspec.json.encode(row) + b"\n")
    rows.sort(key=lambda row: cases.index((row.name, row.exporter)))
    answers = [found for choice in _all_choices(rows) for found in choice.answers.values()]
    text = INTRODUCTION.format(
        choices=options.choices,
        results=f"{len(answers):,}",
        models=len(rows),
        failed=sum(not row.passed for row in rows),
        rounded=sum("in float64" in answer.note for answer in answers),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
    )
    options.out.write_text(text + "\n".join(map(str, rows)) + "\n")
    return int(not all(row.passed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
