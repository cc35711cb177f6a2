"""Reports as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxprune.errors import plain
from onnxprune.report.calibration import calibration_lines
from onnxprune.report.reports import (
    BarrierReport,
    Change,
    InspectReport,
    PruneReport,
    UnitReport,
    VerifyReport,
)

__all__ = ["explain_text", "inspect_text", "prune_text", "units_text", "verify_text"]

SHOWN = 8


def inspect_text(report: InspectReport) -> str:
    """A model on one screen."""
    lines = [
        f"model       {report.model}",
        f"opset       {report.opset}, {_count(report.nodes, 'node')}",
        *(f"input       {name}: {kind}" for name, kind in report.inputs.items()),
        *(f"output      {name}: {kind}" for name, kind in report.outputs.items()),
        f"parameters  {report.params:,}",
        f"bytes       {report.bytes:,}",
        f"MACs        {report.macs:,}",
        _units(report),
    ]
    if report.pruned:
        lines.append(f"pruned      {_count(report.pruned, 'time')} by onnxprune")
    return _text([*lines, *_barriers(report.barriers)])


def prune_text(report: PruneReport) -> str:
    """Before and after, and how far it is proven."""
    lines = [
        _change("parameters", report.params),
        _change("bytes", report.bytes),
        _change("MACs", report.macs),
        *(f"changed     {name}: {kind}" for name, kind in report.changed.items()),
        _units(report),
        *([] if report.calibration is None else calibration_lines(report.calibration)),
        *(["verified    no, as asked"] if report.tolerance is None else _verdict(report)),
        *_barriers(report.barriers),
        f"written     {report.output if report.output is not None else 'no'}",
    ]
    return _text(lines)


def verify_text(report: VerifyReport) -> str:
    """Whether a pruned model is proven, against what, and how closely."""
    lines = [
        f"original    {report.model}",
        f"pruned      {report.pruned}",
        f"removed     {report.removed:,} of {report.channels:,} channels that may go",
        *_verdict(report),
        f"tolerance   {report.tolerance}",
    ]
    return _text(lines)


def explain_text(lines: Sequence[str]) -> str:
    """What `explain` found, as text."""
    return _text(lines)


def units_text(reports: Sequence[UnitReport]) -> str:
    """A line for every unit."""
    width = max((len(report.name) for report in reports), default=0)
    told = {report.role for report in reports} - {"channel"}
    roles = max(map(len, {"channel", *told})) + 2 if told else 0
    lines = []
    for report in reports:
        role = report.role if told else ""
        sides = f"{_names(report.output_related)} -> {_names(report.input_related)}"
        why = "" if report.is_mutable else f"  [stays whole: {report.why_not}]"
        lines.append(f"{report.name:{width}}  {role:{roles}}{sides}{why}")
    return _text(lines)


def _text(lines: Sequence[str]) -> str:
    """Lines as one text; what the names in them hold cannot break a line or reach a terminal."""
    return "\n".join(map(plain, lines))


def _units(report: InspectReport | PruneReport) -> str:
    share = math.floor(report.prunable_params * 1e4) / 1e4  # 100% is said of all, not of most
    return f"units       {report.units} may lose channels; they reach {share:.2%} of the parameters"


def _verdict(report: PruneReport | VerifyReport) -> list[str]:
    if not report.reference:  # it did not come to a comparison
        said = "NO"
    else:
        error = "" if report.max_error is None else f", largest difference {report.max_error:.2g}"
        said = f"{'yes' if report.verified else 'NO'}, against {report.reference}{error}"
    return [f"verified    {said}", *(f"            {note}" for note in report.notes[:SHOWN])]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _change(name: str, change: Change) -> str:
    kept = change.after / change.before if change.before else 1.0
    return f"{name:11} {change.before:>14,} -> {change.after:>14,}   {kept:6.1%}"


def _barriers(barriers: Sequence[BarrierReport]) -> list[str]:
    """Barriers other than the model's own inputs and outputs, which nobody expects to go."""
    alike: dict[tuple[str, str], list[BarrierReport]] = {}
    for barrier in barriers:
        if barrier.op:
            alike.setdefault((barrier.op, barrier.reason), []).append(barrier)
    lines = [
        f"barrier     {op} '{group[0].node}'{_more(len(group) - 1)}: {reason}"
        f"{_held(sum(len(barrier.units) for barrier in group))}"
        for (op, reason), group in list(alike.items())[:SHOWN]
    ]
    if len(alike) > SHOWN:
        lines.append(f"            and {_count(len(alike) - SHOWN, 'more barrier')}")
    return lines


def _more(number: int) -> str:
    return f" and {number:,} more" if number else ""


def _held(units: int) -> str:
    return f" ({_count(units, 'unit')})" if units else ""
