"""One measurement of one pruner in a process of its own; `tools.bench_peers` starts it.

Usage: ``python -m tools.peers TOOL MODEL FILE``. The last line of the output is a JSON document.
Every tool halves every prunable group of channels of the same module by the size of its weights.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import onnxprune as op
from models import ZOO, export, randomise
from models.entry import Entry

RATIO = 0.5
ENOUGH = 20.0
"""Seconds after which no further pass is begun."""


@dataclass(slots=True)
class Measurement:
    """What one process found.

    Attributes:
        seconds: Stage -> CPU seconds, the least of all passes.
        peak: Bytes by which the first pass grew the process beyond what it took when its imports
            were done and the model was loaded.
        before: Parameters of the model.
        after: Parameters of the pruned model.
        problem: Why there is no result, or why it is wrong; empty if it is right.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    before: int = 0
    after: int = 0
    problem: str = ""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.process_time()
        yield
        seconds = time.process_time() - start
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))

    @contextlib.contextmanager
    def memory(self) -> Iterator[None]:
        """Note the peak of the first pass."""
        start = _peak(reset=True)
        yield
        self.peak = self.peak or _peak() - start


def _peak(reset: bool = False) -> int:
    """The most memory that the process has taken, in bytes; on Linux since the last reset."""
    if reset:
        gc.collect()
        with contextlib.suppress(OSError):  # https://docs.kernel.org/filesystems/proc.html
            Path("/proc/self/clear_refs").write_text("5")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def export_model(found: Measurement, entry: Entry, file: Path) -> None:
    """Time torch's exporter; the file is what onnxprune reads."""
    module = randomise(entry.build(), 0)
    with found.stage("export"):
        export(module, entry.example(), file, outputs=entry.outputs, opset=entry.opset)


def onnxprune(found: Measurement, entry: Entry, file: Path) -> Callable[[], None]:
    """Load, find units, choose, slice every weight; the check is not part of it."""
    with found.stage("load"):
        graph = op.load(file)
    with found.memory():
        with found.stage("analysis"):
            units = op.find_units(graph)
        with found.stage("choice"):
            op.choose(units, op.ratio(RATIO))
        with found.stage("rewrite"):
            small = op.prune(units)
            sliced = [v.const_value.numpy() for v in small.initializers.values() if v.const_value]
    found.before, found.after = op.cost(graph).params, op.cost(small).params
    del sliced

    def check() -> None:
        op.verify(units, small).check()

    return check


def torch_pruning(found: Measurement, entry: Entry, file: Path) -> Callable[[], None]:
    """Its own pruner: the constructor analyses, `step` scores and prunes; the outputs stay."""
    import torch_pruning as tp  # type: ignore[import-not-found]

    module = randomise(entry.build(), 0).eval()
    example = entry.example()
    heads = output_layers(module, example)
    found.before = sum(p.numel() for p in module.parameters())
    with found.memory():
        with found.stage("analysis"):
            pruner = tp.pruner.MagnitudePruner(
                module,
                example,
                importance=tp.importance.MagnitudeImportance(p=1),
                pruning_ratio=1 - RATIO,
                ignored_layers=heads,
            )
        with found.stage("rewrite"):
            pruner.step()
    found.after = sum(p.numel() for p in module.parameters())

    def check() -> None:
        with torch.no_grad():
            module(*example)

    return check


TOOLS: dict[str, Callable[[Measurement, Entry, Path], Any]] = {
    "export": export_model,
    "onnxprune": onnxprune,
    "torch-pruning": torch_pruning,
}


def output_layers(module: nn.Module, example: tuple[Tensor, ...]) -> list[nn.Module]:
    """The layers with weights between which and an output no other one stands."""
    owners: dict[Tensor, nn.Module] = {
        parameter: layer
        for layer in module.modules()
        for parameter in layer.parameters(recurse=False)
        if parameter.ndim > 1
    }
    output = module(*example)
    todo = [o.grad_fn for o in (output if isinstance(output, tuple | list) else [output])]
    found, seen = dict[nn.Module, None](), set[Any]()
    while todo:
        function = todo.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        weights = [w for w in _leaves(function) if w in owners]
        found |= {owners[weight]: None for weight in weights}
        if not weights:
            todo += [above for above, _ in function.next_functions]
    return list(found)


def _leaves(function: Any) -> Iterator[Tensor]:
    """The parameters that a function of the autograd graph reads, transposed or not."""
    for above, _ in function.next_functions:
        name = type(above).__name__
        if name == "AccumulateGrad":
            yield above.variable
        elif name == "TBackward0":
            yield from _leaves(above)


def measure(tool: str, model: str, file: Path, passes: int) -> Measurement:
    """Measure one tool on one model, and check its last result."""
    found, entry = Measurement(), ZOO[model]
    start = time.perf_counter()
    try:
        check = TOOLS[tool](found, entry, file)
        while check and (passes := passes - 1) > 0 and time.perf_counter() - start < ENOUGH:
            check = TOOLS[tool](found, entry, file)
        if check:
            check()
    except Exception as error:
        found.problem = (
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    return found


def _import_all(tool: str) -> None:
    """Import what a tool would import when it is first used: that is no part of its memory."""
    if tool == "torch-pruning":
        import torch_pruning  # noqa: F401
    for name in op.__all__ if tool == "onnxprune" else ():
        getattr(op, name)


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers", description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("model", choices=ZOO)
    parser.add_argument("file", type=Path, help="the exported model")
    parser.add_argument("--passes", type=int, default=3, help="the shortest one counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_all(options.tool)
        found = measure(options.tool, options.model, options.file, options.passes)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
