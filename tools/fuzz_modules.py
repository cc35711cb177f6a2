"""Compare random modules' answers, masked and pruned: ``python -m tools.fuzz_modules --count 300``.

Each seed's module is exported by one of torch's exporters in turn, and all four answers of
`onnxprune.torch.parity` are compared at several choices. Failures are printed with their seed, by
which `tools.random_modules.random_module` makes the module again; the exit code is 1 if there are
any.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import torch

from onnxprune.torch import parity
from onnxprune.verification.parity import ParityReport
from tools.random_modules import exporter_of, random_module

__all__ = ["VISIBLE", "Trial", "summary", "tried"]

VISIBLE = 1e-3
"""A smaller effect on the module's answers shows little."""

ANSWERS = ("dynamic", "masked", "pruned")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one seed.

    Attributes:
        seed: The seed.
        exporter: Which of torch's exporters wrote the graph.
        report: All choices, None if there was no getting that far.
        error: What was raised then.
    """

    seed: int
    exporter: str
    report: ParityReport | None = None
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether all answers agree."""
        return self.report is not None and self.report.passed

    @property
    def visible(self) -> bool:
        """Whether some choice changes what the module answers."""
        return self.report is not None and any(c.effect > VISIBLE for c in self.report.choices)

    def __str__(self) -> str:
        verdict = "agreed" if self.passed else "FAILED"
        return f"seed {self.seed}, {self.exporter}: {verdict}\n{self.report or self.error}"


def tried(seed: int, choices: int) -> Trial:
    """Compare the answers of a seed's module.

    Args:
        seed: The seed.
        choices: How many choices.
    """
    torch.set_num_threads(1)
    exporter = exporter_of(seed)
    try:
        module, example = random_module(seed)
        return Trial(seed, exporter, parity(module, example, choices, exporter))
    except Exception as error:  # whatever it is, it is a finding
        return Trial(seed, exporter, error=f"{type(error).__name__}: {error}")


def summary(trials: Sequence[Trial]) -> str:
    """A Markdown table of all trials, by exporter.

    Args:
        trials: What was tried.
    """
    exporters = list(dict.fromkeys(trial.exporter for trial in trials))
    columns = [[t for t in trials if t.exporter == exporter] for exporter in exporters]
    columns.append(list(trials))
    rows = [["", *exporters, "all"], ["---"] * (len(columns) + 1)]
    cells = [_counts(column) for column in columns]
    rows += [[name, *(cell[name] for cell in cells)] for name in cells[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _counts(trials: Sequence[Trial]) -> dict[str, str]:
    reports = [trial.report for trial in trials if trial.report is not None]
    choices = [choice for report in reports for choice in report.choices]
    answers = {name: [c.answers[name] for c in choices if name in c.answers] for name in ANSWERS}
    counts = {
        "modules": len(trials),
        "choices": len(choices),
        "modules that failed": sum(not trial.passed for trial in trials),
        "choices that failed": sum(not choice.passed for choice in choices),
        "not compared at all": len(trials) - len(reports),
        "modules with visible effects": sum(trial.visible for trial in trials),
        "units": sum(report.units for report in reports),
        "units in place as zeros in torch": sum(len(report.masked) for report in reports),
        "answers in which rounding was decided by float64": sum(
            a.note.startswith("in float32") for found in answers.values() for a in found
        ),
    }
    cells = {name: f"{count:,}" for name, count in counts.items()}
    for name, found in answers.items():
        judged = [a.error for a in found if a.agrees is not None and a.error is not None]
        worst = max(judged, default=math.nan)
        cells[f"largest difference, {name} ({name_of(name)})"] = f"{worst:.1e} of {len(judged):,}"
    return cells


def name_of(answer: str) -> str:
    """Who gives an answer."""
    return "torch" if answer == "dynamic" else "onnxruntime"


def main() -> int:
    """Try the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz_modules", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="modules at a time")
    parser.add_argument("--choices", type=int, default=6, help="choices of each module")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.count)
    trials, start = [], time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context) as pool:
        for trial in pool.map(tried, seeds, repeat(options.choices)):
            trials.append(trial)
            if not trial.passed:
                print(f"{trial}\n", flush=True)
    failed = [str(trial.seed) for trial in trials if not trial.passed]
    print(f"{summary(trials)}\n\nseconds: {time.perf_counter() - start:.0f}")
    print(f"seeds that failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
