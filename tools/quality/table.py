"""Prune real models to fractions of their MACs, test them on real inputs, and write the page."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import onnxruntime

import onnxprune as op
from onnxprune.graph import Graph
from onnxprune.importance import Evidence
from onnxprune.units import Units
from tools.fetch import FetchError
from tools.quality import magika, minilm, ppocr_rec, u2netp
from tools.quality.case import Case

__all__ = ["CASES", "FRACTIONS", "Row", "main", "measured", "page"]

CASES: Mapping[str, Callable[[Path], Case]] = {
    "magika": magika.case,
    "ppocr4-rec": ppocr_rec.case,
    "minilm-l3": minilm.case,
    "u2netp": u2netp.case,
}
FRACTIONS = (0.9, 0.75, 0.5)
"""Of the MACs, that may stay."""

INTRODUCTION = """# Quality

Written by `make quality`: what pruning costs models that others trained and deploy, on real inputs.
Each is pruned to at most {fractions} % of its MACs. Without data every unit loses the same share of
its channels, those of the smallest weights (L1). Nothing is trained.{refit}

The calibration has no labels, and none of its samples is a test sample. MACs and parameters are
shares of the original's; *original* is the model as it was published. Inputs are made of public
packages and of the files of the machine (`tools/quality/`), and none of them is kept here. Python
{python}, onnxruntime {onnxruntime}, {machine}.
"""

REFITTED = """ *refit*: what stays is chosen by
error curves measured on the calibration (`obs`, `curves`), and the weights that are left are
fitted, layer by layer, to what the original gives on it; it keeps to the same limit, and the
columns of MACs and parameters are those of the model without."""


class Row(msgspec.Struct, frozen=True):
    """One model at one size.

    Attributes:
        model: The model.
        asked: The fraction of the MACs that may stay; 1 is the original.
        refit: Whether it was refitted.
        macs: The fraction of the MACs that stayed.
        params: The fraction of the parameters that stayed.
        calibration: How many samples it was calibrated with, or would be.
        tests: How many samples it was tested on.
        seconds: What pruning, refitting and testing took.
        quality: Named figures.
        about: What they are.
    """

    model: str
    asked: float
    refit: bool
    macs: float
    params: float
    calibration: int
    tests: int
    seconds: float
    quality: dict[str, float]
    about: str

    @property
    def key(self) -> tuple[str, float, bool]:
        """What it is a result of."""
        return self.model, self.asked, self.refit


def pruned(
    case: Case, sized: Units, asked: float, evidence: Evidence | None
) -> tuple[Graph, Graph]:
    """A case's model at a fraction of its MACs: as it is counted, and as it is run.

    Args:
        case: The model with its inputs.
        sized: Its units, at the sizes of its inputs.
        asked: The fraction of the MACs that may stay.
        evidence: What was measured on the calibration; None to prune by weights, without refit.
    """
    units = op.find_units(case.path)
    if evidence is None:
        choices = op.choose(sized, op.macs(asked))
    else:
        choices = op.choose(sized, op.macs(asked), "obs", scope="curves", evidence=evidence)
    small = op.prune(units, op.Choices(choices.units))
    if evidence is not None:
        small = op.refit_weights(units, small, case.calibration).graph
    return op.prune(sized, choices), small


def measured(case: Case, wanted: Sequence[tuple[float, bool]]) -> Iterator[Row]:
    """The rows of one model.

    Args:
        case: The model with its inputs.
        wanted: (fraction of the MACs that may stay, whether to refit) of each row.
    """
    original, sized = case.answers(case.path), op.find_units(case.sized())
    whole, evidence = op.cost(sized.graph), None
    if any(refit for _, refit in wanted):
        evidence = op.measure_evidence(case.path, "obs", case.calibration, scope="curves")
    for asked, refit in wanted:
        start = time.perf_counter()
        cost, answers = whole, original
        if asked != 1:
            counted, small = pruned(case, sized, asked, evidence if refit else None)
            cost, answers = op.cost(counted), case.answers(small)
        yield Row(
            *(case.name, asked, refit, cost.macs / whole.macs, cost.params / whole.params),
            *(case.calibration.samples, len(answers), time.perf_counter() - start),
            quality=case.quality(original, answers),
            about=case.about,
        )


def page(rows: Sequence[Row]) -> str:
    """The page; it has a column of refitted models if there are any."""
    introduction = INTRODUCTION.format(
        fractions=", ".join(f"{100 * fraction:g}" for fraction in FRACTIONS),
        refit=REFITTED if any(row.refit for row in rows) else "",
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )
    models = dict.fromkeys(row.model for row in rows)
    sections = [_section([row for row in rows if row.model == model]) for model in models]
    return "\n".join([introduction, *sections])


def _section(rows: Sequence[Row]) -> str:
    first = rows[0]
    refits = [False, True] if any(row.refit for row in rows) else [False]
    heads = [f"{name}{', refit' * refit}" for name in first.quality for refit in refits]
    lines = [f"## {first.model}", "", textwrap.fill(first.about, 100), ""]
    lines += [f"{first.calibration} samples to calibrate, {first.tests} to test.", ""]
    lines += [_cells(["keeps", "MACs", "parameters", *heads])]
    lines += ["| --- " * (3 + len(heads)) + "|"]
    for asked in dict.fromkeys(row.asked for row in rows):
        found = {row.refit: row for row in rows if row.asked == asked}
        any_row = next(iter(found.values()))
        cells = ["original" if asked == 1 else f"{100 * asked:g} %"]
        cells += [f"{any_row.macs:.3f}", f"{any_row.params:.3f}"]
        for name in first.quality:
            cells += [
                f"{found[refit].quality[name]:.3f}" if refit in found else "" for refit in refits
            ]
        lines.append(_cells(cells))
    return "\n".join([*lines, ""])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _known(results: Path | None) -> dict[tuple[str, float, bool], Row]:
    """The rows of a file of results."""
    if results is None or not results.exists():
        return {}
    lines = results.read_bytes().splitlines()
    return {row.key: row for row in (msgspec.json.decode(line, type=Row) for line in lines)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not known yet, and write the page.

    Returns:
        0, or 1 if a model or its inputs cannot be had.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.quality", description=__doc__)
    parser.add_argument("out", type=Path, metavar="PAGE.md")
    parser.add_argument("--files", type=Path, help="where fetched files are, or are to be kept")
    parser.add_argument("--only", action="append", choices=CASES, metavar="NAME")
    parser.add_argument("--results", type=Path, help="a file of results to go on from")
    parser.add_argument("--no-refit", action="store_true", help="prune only")
    options = parser.parse_args(arguments)
    refits = (False,) if options.no_refit else (False, True)
    settings = [(1.0, False), *((asked, refit) for asked in FRACTIONS for refit in refits)]
    known, failed = _known(options.results), 0
    names = options.only or [*CASES]
    with tempfile.TemporaryDirectory(prefix="onnxprune-quality-") as scratch:
        for name in names:
            wanted = [setting for setting in settings if (name, *setting) not in known]
            if not wanted:
                continue
            try:
                case = CASES[name](options.files or Path(scratch))
            except FetchError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed = 1
                continue
            for row in measured(case, wanted):
                known[row.key] = row
                print(f"{row.key}: {row.quality}", flush=True)
                if options.results is not None:
                    with options.results.open("ab") as file:
                        file.write(msgspec.json.encode(row) + b"\n")
    keys = [(name, *setting) for name in names for setting in settings]
    options.out.write_text(page([known[key] for key in keys if key in known]))
    return failed
