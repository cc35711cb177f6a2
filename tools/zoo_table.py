"""Export, prune and check the whole zoo, and write the table: ``make table``.

Every model, by both exporters, with a static and a dynamic batch; pruned at half of every unit and
at ten random choices.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import onnxruntime
import torch

from models import ZOO, export
from models.export import EXPORTERS, Exporter
from tools.sweep import Row, examine, print_table

INTRODUCTION = """# The zoo

Written by `make table`. Every model of `models/`, its parameters random, exported by both of
torch's exporters with a static and a dynamic batch, pruned to half of every unit by the size of
the weights and at random choices; each of the {results} results was loaded in onnxruntime without a
warning and compared with the original without the removed channels (slices zero in onnxruntime
where that is exact, else slices missing in torch; at half always in torch too), within
|difference| <= 1e-5 + 1e-4 * |reference|. Models with a failure: {failed}. Units and shares are
those that `models/` promises; a note tells why a share is below 0.99.

Columns: units that may lose channels; the share of the parameters that some choice could remove;
CPU seconds for labelling and finding units; parameters, multiply-accumulates of one sample and
median latency of one inference on one thread, before and after (at half of every unit); choices
checked; the largest difference of any output element. Random weights: the table says nothing of
accuracy.

torch {torch}, onnxruntime {onnxruntime}, {machine}. The machine was shared: compare latencies
within a row only.

"""


def examined(name: str, exporter: Exporter, dynamic: bool, samples: int) -> Row:
    """Export one model one way, and prune and check it."""
    entry = ZOO[name]
    with tempfile.TemporaryDirectory() as folder:
        path = export(
            entry.randomised(),
            entry.example(batch=2 if dynamic else 1),
            Path(folder) / f"{name}.onnx",
            exporter=exporter,
            dynamic=dynamic,
            opset=entry.opset,
            outputs=entry.outputs,
        )
        row = examine(
            path,
            f"{name}, {exporter}, {'dynamic' if dynamic else 'static'}",
            samples=samples,
            references=("auto", "torch"),
            expected_units=entry.units,
        )
    if row.prunable < entry.prunable:
        row.failed, row.note = True, f"a prunable share of {entry.prunable} was expected"
    elif entry.barred and not row.failed:
        row.note = entry.barred
    return row


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.zoo_table", description=__doc__)
    parser.add_argument("out", type=Path, metavar="TABLE.md")
    parser.add_argument("--only", action="append", choices=ZOO, metavar="NAME", help="repeatable")
    parser.add_argument("--samples", type=int, default=10, help="random choices of each model")
    parser.add_argument("--jobs", type=int, default=1, help="models examined at a time")
    options = parser.parse_args()
    cases = list(itertools.product(options.only or ZOO, EXPORTERS, (False, True)))
    rows = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context) as pool:
        for row in pool.map(examined, *zip(*cases, strict=True), repeat(options.samples)):
            rows.append(row)
            print(row, flush=True)
    text = INTRODUCTION.format(
        results=sum(row.choices for row in rows),
        failed=sum(row.failed for row in rows),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )
    options.out.write_text(f"{text}{print_table(rows)}\n")
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
