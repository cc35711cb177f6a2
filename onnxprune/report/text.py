"""Reports as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from onnxprune.report.reports import (
    BarrierReport,
    Change,
    InspectReport,
    PruneReport,
    UnitReport,
)

__all__ = ["inspect_text", "prune_text", "units_text"]

SHOWN = 8


def inspect_text(report: InspectReport) -> str:
    """A model on one screen."""
    lines = [
        f"model       {report.model}",
        f"opset       {report.opset}, {report.nodes} nodes",
        *(f"input       {name}: {kind}" for name, kind in report.inputs.items()),
        *(f"output      {name}: {kind}" for name, kind in report.outputs.items()),
        f"parameters  {report.params:,}",
        f"bytes       {report.bytes:,}",
        f"MACs        {report.macs:,}",
        f"units       {report.units} may lose channels; they reach "
        f"{report.prunable_params:.2%} of the parameters",
    ]
    if report.pruned:
        lines.append(f"pruned      {report.pruned} time(s) by onnxprune")
    return "\n".join([*lines, *_barriers(report.barriers)])


def prune_text(report: PruneReport) -> str:
    """Before and after, and how far it is proven."""
    lines = [
        _change("parameters", report.params),
        _change("bytes", report.bytes),
        _change("MACs", report.macs),
        f"units       {report.units} may lose channels; they reach "
        f"{report.prunable_params:.2%} of the parameters",
    ]
    if report.reference is None:
        lines.append("verified    no, as asked")
    else:
        error = "" if report.max_error is None else f", largest difference {report.max_error:.2g}"
        lines.append(
            f"verified    {'yes' if report.verified else 'NO'}, against {report.reference}{error}"
        )
        lines += [f"            {note}" for note in report.notes[:SHOWN]]
    lines += _barriers(report.barriers)
    if report.output is not None:
        lines.append(f"written     {report.output}")
    return "\n".join(lines)


def units_text(reports: Sequence[UnitReport]) -> str:
    """A line for every unit."""
    width = max((len(report.name) for report in reports), default=0)
    lines = []
    for report in reports:
        sides = f"{_names(report.output_related)} -> {_names(report.input_related)}"
        why = "" if report.is_mutable else f"  [stays whole: {report.why_not}]"
        lines.append(f"{report.name:{width}}  {sides}{why}")
    return "\n".join(lines)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _change(name: str, change: Change) -> str:
    kept = change.after / change.before if change.before else 1.0
    return f"{name:11} {change.before:>14,} -> {change.after:>14,}   {kept:6.1%}"


def _barriers(barriers: Sequence[BarrierReport]) -> list[str]:
    """Barriers other than the model's own inputs and outputs, which nobody expects to go."""
    inner = [barrier for barrier in barriers if barrier.op]
    lines = [
        f"barrier     {barrier.op} '{barrier.node}': {barrier.reason} "
        f"({len(barrier.units)} unit{'s' if len(barrier.units) > 1 else ''})"
        for barrier in inner[:SHOWN]
    ]
    if len(inner) > SHOWN:
        lines.append(f"            and {len(inner) - SHOWN} more barriers")
    return lines
