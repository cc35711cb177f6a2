"""Time and memory of onnxprune beside Torch-Pruning, and docs/benchmark.md: ``make bench``.

Both halve the same modules of models/, each measurement in a fresh process, the tools in turn
(tools/peers.py says what is measured). Torch-Pruning comes from pip by name and version into a
temporary folder; it is no dependency of the project. The exit code is 1 if a result of onnxprune is
wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime
import torch

from models import ZOO

PEER = "torch-pruning==1.6.1"
OURS, THEIRS = "onnxprune", "torch-pruning"
OWN_STAGES = ("analysis", "choice", "rewrite")
PATIENCE = 1800
"""Seconds that one measurement may take."""

INTRODUCTION = """# Benchmark

Written by `make bench`: onnxprune beside Torch-Pruning {peer} on the same modules (`models/`,
random weights, one thread), both keeping half of every group of channels by the size of the
weights and leaving the outputs whole. {models} models; failed: {failed}.

| | median | worst |
| --- | --- | --- |
| time, onnxprune / Torch-Pruning | {time} | {worst_time} |
| memory, onnxprune / Torch-Pruning | {memory} | {worst_memory} |

Below 1 onnxprune is faster or smaller. A model on which either of the two fails is in no ratio.

- onnxprune: *analysis* is `find_units`, *choice* is `choose` (the scores), *rewrite* is `prune`
  with every sliced weight written out; their sum is the *total*. It reads an ONNX file: torch's
  *export* of the module and *load* are needed before that and stated apart.
- Torch-Pruning: *analysis* is the constructor of `MagnitudePruner` (which traces the module and
  builds the dependency graph and its groups), *rewrite* is its `step` (the scores and the slices).
- Times are CPU seconds, the best of {passes} passes in each of {rounds} processes, the two tools
  in turn, on a machine that others used too. Memory is how far the first pass of a process grew it
  beyond what it took with all imports done and the model loaded, the least of all processes.
- *kept* is the fraction of the parameters that is left. A pruned model of onnxprune is verified
  after it is timed; of Torch-Pruning's it is only known that it runs.

Python {python}, torch {torch}, onnxruntime {onnxruntime}, {machine}, {cores} cores.

{header}
"""


COLUMNS = (
    *("model", "time ratio", "memory ratio", "export s", "load s", "analysis s", "choice s"),
    *("rewrite s", "total s", "MB", "kept", "their analysis s", "their rewrite s"),
    *("their total s", "their MB", "their kept"),
)


@dataclass(slots=True)
class Found:
    """The best of several measurements of one tool on one model."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    kept: float = 0.0
    problem: str = ""

    def add(self, document: dict[str, object]) -> None:
        """Take in the document of one process."""
        new = Found(
            document["seconds"],  # type: ignore[arg-type]
            int(document["peak"]),  # type: ignore[call-overload]
            document["after"] / max(document["before"], 1),  # type: ignore[call-overload]
            str(document["problem"]),
        )
        for stage, seconds in new.seconds.items():
            self.seconds[stage] = min(seconds, self.seconds.get(stage, seconds))
        self.peak = min(new.peak, self.peak or new.peak)
        self.kept = new.kept
        self.problem = self.problem or new.problem

    @property
    def total(self) -> float:
        """Seconds for analysis, choice and rewriting."""
        return sum(self.seconds.get(stage, 0.0) for stage in OWN_STAGES)


@dataclass(slots=True)
class Comparison:
    """One model."""

    model: str
    export: Found = field(default_factory=Found)
    ours: Found = field(default_factory=Found)
    theirs: Found = field(default_factory=Found)

    @property
    def complete(self) -> bool:
        """Whether both tools have a result."""
        return not (self.export.problem or self.ours.problem or self.theirs.problem)

    @property
    def time(self) -> float:
        """Seconds of onnxprune for one of Torch-Pruning."""
        return self.ours.total / self.theirs.total

    @property
    def memory(self) -> float:
        """Bytes of onnxprune for one of Torch-Pruning."""
        return self.ours.peak / max(self.theirs.peak, 1)

    def __str__(self) -> str:
        ratios = [f"{self.time:.2f}", f"{self.memory:.2f}"] if self.complete else ["", ""]
        stages = [
            *((self.export, "export"), (self.ours, "load")),
            *((self.ours, stage) for stage in OWN_STAGES),
        ]
        cells = [self.model, *ratios]
        cells += [f"{f.seconds[stage]:.3f}" if stage in f.seconds else "" for f, stage in stages]
        cells += _result(self.ours, self.export.problem)
        cells += [f"{self.theirs.seconds.get(stage, 0):.3f}" for stage in ("analysis", "rewrite")]
        return f"| {' | '.join([*cells, *_result(self.theirs)])} |"


def _result(found: Found, earlier: str = "") -> list[str]:
    """The cells for total, memory and what is kept, or for the failure."""
    if problem := earlier or found.problem:
        return ["failed", problem.replace("|", "&#124;")[:160], ""]
    return [f"{found.total:.3f}", f"{found.peak / 1e6:.1f}", f"{found.kept:.3f}"]


def install_peer(folder: Path) -> None:
    """Install Torch-Pruning for the measurements alone; it needs nothing but torch and numpy."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--only-binary", ":all:", "--target", str(folder), PEER]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"pip cannot install {PEER}:\n{done.stderr.strip()}")


def compare(model: str, peer: Path, rounds: int, passes: int) -> Comparison:
    """Measure both tools on one model, in turn."""
    found = Comparison(model)
    with tempfile.TemporaryDirectory(prefix="onnxprune-bench-") as folder:
        file = Path(folder) / f"{model}.onnx"
        found.export.add(_measure("export", model, file, peer, 1))
        for _ in range(rounds):
            if not found.export.problem:
                found.ours.add(_measure(OURS, model, file, peer, passes))
            found.theirs.add(_measure(THEIRS, model, file, peer, passes))
    return found


def _measure(tool: str, model: str, file: Path, peer: Path, passes: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tools.peers", tool, model, str(file)]
    paths = [str(peer), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, f"--passes={passes}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | settings,
    )
    if done.returncode == 0:
        document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return document
    problem = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {"seconds": {}, "peak": 0, "before": 0, "after": 0, "problem": problem}


def write(found: Sequence[Comparison], rounds: int, passes: int) -> str:
    """The page."""
    whole = [comparison for comparison in found if comparison.complete]
    times = [comparison.time for comparison in whole] or [0.0]
    memories = [comparison.memory for comparison in whole] or [0.0]
    failures = [
        f"{comparison.model} ({tool})"
        for comparison in found
        for tool, result in (
            *(("export", comparison.export), (OURS, comparison.ours)),
            (THEIRS, comparison.theirs),
        )
        if result.problem
    ]
    introduction = INTRODUCTION.format(
        peer=PEER.partition("==")[2],
        models=len(found),
        failed=", ".join(failures) or "none",
        time=f"{statistics.median(times):.2f}",
        worst_time=f"{max(times):.2f}",
        memory=f"{statistics.median(memories):.2f}",
        worst_memory=f"{max(memories):.2f}",
        passes=passes,
        rounds=rounds,
        python=platform.python_version(),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
        cores=os.cpu_count(),
        header=f"| {' | '.join(COLUMNS)} |\n{'| --- ' * len(COLUMNS)}|",
    )
    return introduction + "\n".join(map(str, found)) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_peers", description=__doc__)
    parser.add_argument("out", type=Path, metavar="PAGE.md")
    parser.add_argument("--only", action="append", choices=ZOO, metavar="NAME", help="repeatable")
    parser.add_argument("--rounds", type=int, default=2, help="processes for each tool and model")
    parser.add_argument("--passes", type=int, default=3, help="passes within each process")
    options = parser.parse_args(arguments)
    found = []
    with tempfile.TemporaryDirectory(prefix="onnxprune-peer-") as folder:
        install_peer(Path(folder))
        for model in options.only or ZOO:
            found.append(compare(model, Path(folder), options.rounds, options.passes))
            print(found[-1], flush=True)
    text = write(found, options.rounds, options.passes)
    options.out.write_text(text)
    print(text[text.index("| | median") : text.index("Below 1")])
    return int(any(c.ours.problem or c.export.problem for c in found))


if __name__ == "__main__":
    raise SystemExit(main())
