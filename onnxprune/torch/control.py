"""If, Loop and Scan: nodes that run graphs of their own, masked values and all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from onnxprune.torch.errors import UnsupportedOperator
from onnxprune.torch.masked import Masked
from onnxprune.torch.operators.joining import stack
from onnxprune.torch.plan import Plan, Step
from onnxprune.torch.structure import demand_whole, take

__all__ = ["CONTROL", "Run"]

Run = Callable[[Plan, Sequence[Masked | None]], list[Masked]]
"""Runs an inner graph, given its inputs."""


def _told(x: Masked | None, what: str) -> bool | int:
    """A number that decides what runs."""
    if x is None or x.present is not None:
        raise UnsupportedOperator(f"the {what} is missing")
    return bool(x.value) if x.value.dtype == torch.bool else int(x.value)


def _branch(step: Step, arguments: Sequence[Masked | None], run: Run) -> list[Masked]:
    taken = "then_branch" if _told(arguments[0], "condition") else "else_branch"
    return run(step.blocks[taken], [])


def _loop(step: Step, arguments: Sequence[Masked | None], run: Run) -> list[Masked | None]:
    body = step.blocks["body"]
    count, condition, *state = arguments
    limit = None if count is None else _told(count, "number of turns")
    proceed = condition is None or _told(condition, "condition")
    turns: list[list[Masked]] = []
    while proceed and (limit is None or len(turns) < limit):
        given = Masked(torch.tensor(len(turns))), Masked(torch.tensor(True))
        again, *results = run(body, [*given, *state])
        proceed = _told(again, "condition")
        state = list(results[: len(state)])
        turns.append(results[len(state) :])
    return [*state, *_collected(turns, len(body.outputs) - 1 - len(state))]


def _collected(turns: Sequence[Sequence[Masked]], count: int) -> list[Masked]:
    """What each turn adds to the results that grow, along a new first axis."""
    if count and not turns:
        raise UnsupportedOperator("no turn, of which results of unknown size remain")
    return [stack([turn[i] for turn in turns]) for i in range(count)]


def _scan(step: Step, arguments: Sequence[Masked | None], run: Run) -> list[Masked | None]:
    if step.opset < 9:
        raise UnsupportedOperator("batches of sequences")
    body = step.blocks["body"]
    count = step.attributes["num_scan_inputs"]
    outputs = len(body.outputs) - (len(arguments) - count)
    state = list(arguments[:-count])
    scanned = [x for x in arguments[-count:] if x is not None]
    axes = [
        a % x.value.ndim
        for a, x in zip(_numbers(step, "scan_input_axes", count), scanned, strict=True)
    ]
    backwards = _numbers(step, "scan_input_directions", count)
    for position, (x, axis) in enumerate(zip(scanned, axes, strict=True)):
        demand_whole(x, [axis], "which is scanned", len(state) + position)
    length = scanned[0].shape[axes[0]]
    turns: list[list[Masked]] = []
    for turn in range(length):
        entries = [
            take(x, axis, torch.tensor(length - 1 - turn if back else turn))
            for x, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        results = run(body, [*state, *entries])
        state = list(results[: len(state)])
        turns.append(results[len(state) :])
    return [*state, *_scanned(step, turns, outputs)]


def _scanned(step: Step, turns: list[list[Masked]], count: int) -> list[Masked]:
    """What each turn adds to the results, along the axes and in the directions asked for."""
    if count and not turns:
        raise UnsupportedOperator("no turn, of which results of unknown size remain")
    axes = _numbers(step, "scan_output_axes", count)
    backwards = _numbers(step, "scan_output_directions", count)
    results = []
    for i, (axis, back) in enumerate(zip(axes, backwards, strict=True)):
        parts = [turn[i] for turn in (reversed(turns) if back else turns)]
        results.append(stack(parts, axis % (parts[0].value.ndim + 1)))
    return results


def _numbers(step: Step, name: str, count: int) -> list[int]:
    return list(step.attributes.get(name) or [0] * count)


CONTROL: dict[str, Callable[[Step, Sequence[Masked | None], Run], Sequence[Masked | None]]] = {
    "If": _branch,
    "Loop": _loop,
    "Scan": _scan,
}
