"""Export, prune and check architectures of `transformers`: ``make transformers``.

Every architecture of `models.transformers`, by both exporters, with all sizes fixed and with open
ones; pruned at half of every unit and at random choices. Exports and results are kept in files, so
that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec
import onnx
import onnxruntime
import torch
import transformers

from models.export import EXPORTERS, Exporter
from models.transformers import ARCHITECTURES, Architecture, export
from onnxprune.runtime.feeds import Feeds
from tools.sweep import Row as Found
from tools.sweep import examine

INTRODUCTION = """# Architectures of transformers

Written by `make transformers`. The architectures of `models/transformers/`, {architectures} classes
of Hugging Face `transformers` at toy sizes with random parameters, exported by both of torch's
exporters: with all sizes fixed, and with an open batch and, where the model takes any, open
lengths. Each graph was pruned to half of every unit by the size of the weights and at random
choices; each of the {results} results was loaded in onnxruntime without a warning and compared with
the original without the removed channels (slices zero in onnxruntime where that is exact, else
slices missing in torch; at half always in torch too), within
|difference| <= 1e-5 + 1e-4 * |reference|, on inputs of other sizes than those of the export where
sizes are open. {graphs} graphs; with a failure: {failed}; what an exporter refuses: {refused}.

Columns: nodes; units that may lose channels; the share of the parameters that some choice could
remove; CPU seconds for labelling and finding units, and for making the smaller graph; parameters
and median latency of one inference on one thread, before and after (at half of every unit); choices
checked; the largest difference of any output element; what keeps more than 1 % of the parameters
whole, and how much. Two barriers may hold the same parameters. In such small models what a graph's
inputs and outputs hold looks large: it shrinks with the size of the model.

Shares below 0.95 have these reasons. Swin with an open batch and Swin v2: the masks of shifted
windows, which are constants and no parameters, and large only beside a toy. Wav2vec2 and HuBERT
with fixed lengths: zeros of the same kind. FNet: a Fourier transform over the hidden size needs all
of it. Funnel: it pools over the sequence as over pixels, and the hidden size is one axis of these.

torch {torch}, transformers {transformers}, onnxruntime {onnxruntime}, {machine}. The machine was
shared: compare latencies within a row only.

"""

COLUMNS = (
    *("model", "nodes", "units", "prunable", "analyse s", "rewrite s", "params", "latency"),
    *("choices", "largest error", "barriers"),
)

LARGE = 0.01
"""A barrier that holds a larger share of the parameters is told."""

OTHER_SIZES = {"sequence": 11, "target": 7, "samples": 2100, "past": 3}


class Row(msgspec.Struct):
    """One export of one architecture.

    Attributes:
        name: The architecture.
        exporter: The exporter.
        dynamic: Whether sizes are open.
        attention: The implementation of attention that was exported.
        found: What came of it; None if there is no graph.
        problem: Why there is no graph, or why it could not be examined.
    """

    name: str
    exporter: Exporter
    dynamic: bool
    attention: str = ""
    found: Found | None = None
    problem: str = ""

    @property
    def case(self) -> tuple[str, Exporter, bool]:
        """What the row is of."""
        return self.name, self.exporter, self.dynamic

    @property
    def failed(self) -> bool:
        """Whether a graph is there and something is wrong with what was made of it."""
        return self.attention != "" and (self.found is None or self.found.failed)

    def __str__(self) -> str:
        name = f"{self.name}, {self.exporter}, {'dynamic' if self.dynamic else 'static'}"
        if self.found is None:
            return f"| {name} |{' |' * 9} {_plain(self.problem)} |"
        found = self.found
        told = (ARCHITECTURES[self.name].note, _told(found.held))
        cells = [
            *(name, found.nodes, found.units, f"{found.prunable:.4f}"),
            *(f"{found.seconds:.2f}", f"{found.rewriting:.2f}", found.params, found.latency),
            *(found.choices, f"{found.error:.1e}"),
            _plain(found.note) if found.failed else "; ".join(filter(None, told)),
        ]
        return f"| {' | '.join(map(str, cells))} |"


def _told(held: dict[str, float]) -> str:
    return "; ".join(
        f"{_plain(text)} ({share:.0%})" for text, share in held.items() if share > LARGE
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def examined(name: str, exporter: Exporter, dynamic: bool, samples: int, folder: Path) -> Row:
    """Export one architecture one way, unless its file is in the folder, and prune and check it."""
    torch.set_num_threads(1)
    row, architecture = Row(name, exporter, dynamic), ARCHITECTURES[name]
    path, row.attention, row.problem = exported(architecture, exporter, dynamic, folder)
    if path is None:
        return row
    try:
        feeds = feeds_of(architecture, path, dynamic)
        row.found = examine(
            path,
            name,
            samples=samples,
            feeds=feeds,
            references=("auto", "torch"),
            barriers=True,
        )
    except Exception as error:
        row.problem = f"{type(error).__name__}: {str(error)[:300]}"
    return row


def exported(
    architecture: Architecture, exporter: Exporter, dynamic: bool, folder: Path
) -> tuple[Path | None, str, str]:
    """The file of an export, its implementation of attention; or why there is none."""
    stem = f"{architecture.name}-{exporter}-{'dynamic' if dynamic else 'static'}"
    refusal = folder / f"{stem}.txt"
    for attention in architecture.attention:
        path = folder / f"{stem}-{attention}.onnx"
        if path.exists():
            return path, attention, ""
    if refusal.exists():
        return None, "", refusal.read_text()
    for attention in architecture.attention:
        path = folder / f"{stem}-{attention}.onnx"
        try:
            export(architecture, path, exporter, dynamic, attention)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            session.run(None, feeds_of(architecture, path, dynamic))
            return path, attention, ""
        except Exception as error:
            path.unlink(missing_ok=True)
            reason = _reason(error)
    refusal.write_text(reason)
    return None, "", reason


def _reason(error: BaseException) -> str:
    """The innermost cause of an exporter's refusal, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"no graph that runs: {type(error).__name__}: {' '.join(lines)[:200]}"


def feeds_of(architecture: Architecture, path: Path, dynamic: bool) -> Feeds:
    """Inputs for an export, of other sizes than it was made with where sizes are open."""
    batch, sizes = (3, OTHER_SIZES) if dynamic else (architecture.batch, None)
    example = architecture.example(batch, sizes, seed=1)
    taken = {value.name for value in onnx.load(path, load_external_data=False).graph.input}
    named = zip(architecture.inputs, example, strict=True)
    return {name: tensor.numpy() for name, tensor in named if name in taken}


def _results(path: Path | None, cases: list[tuple[str, Exporter, bool]]) -> list[Row]:
    if path is None or not path.exists():
        return []
    rows = [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
    return [*{row.case: row for row in rows if row.case in cases}.values()]


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.transformers_table", description=__doc__)
    parser.add_argument("out", type=Path, metavar="TABLE.md")
    parser.add_argument("--only", action="append", choices=ARCHITECTURES, metavar="NAME")
    parser.add_argument("--exporter", action="append", choices=EXPORTERS)
    parser.add_argument("--samples", type=int, default=5, help="random choices of each graph")
    parser.add_argument("--jobs", type=int, default=1, help="graphs examined at a time")
    parser.add_argument("--exports", type=Path, metavar="FOLDER", help="where exports are kept")
    parser.add_argument("--results", type=Path, help="a file of results to go on from")
    options = parser.parse_args()
    cases = list(
        itertools.product(
            options.only or ARCHITECTURES, options.exporter or EXPORTERS, (False, True)
        )
    )
    rows = _results(options.results, cases)
    known = {row.case for row in rows}
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as temporary,
        ProcessPoolExecutor(options.jobs, context) as pool,
    ):
        folder = options.exports or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [
            pool.submit(examined, *case, options.samples, folder)
            for case in cases
            if case not in known
        ]
        for job in as_completed(jobs):
            row = job.result()
            rows.append(row)
            print(row, flush=True)
            if options.results is not None:
                with options.results.open("ab") as file:
                    file.write(msgspec.json.encode(row) + b"\n")
    rows.sort(key=lambda row: cases.index(row.case))
    options.out.write_text(table(rows))
    return int(any(row.failed for row in rows))


def table(rows: list[Row]) -> str:
    """The page."""
    text = INTRODUCTION.format(
        architectures=len({row.name for row in rows}),
        results=sum(row.found.choices for row in rows if row.found is not None),
        graphs=sum(row.attention != "" for row in rows),
        failed=sum(row.failed for row in rows),
        refused=sum(row.attention == "" for row in rows),
        torch=torch.__version__,
        transformers=transformers.__version__,
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )
    head = (f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
    return text + "\n".join((*head, *map(str, rows))) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
