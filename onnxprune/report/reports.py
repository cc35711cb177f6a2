"""Reports as data; each is one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from onnxprune.axes import Barrier
from onnxprune.budget import cost
from onnxprune.graph import Graph
from onnxprune.report.calibration import CalibrationReport
from onnxprune.rewrite import read_record
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.verification import Verdict
from onnxprune.verification.structure import describe

__all__ = [
    "BarrierReport",
    "Change",
    "InspectReport",
    "PruneReport",
    "UnitReport",
    "VerifyReport",
    "inspect_report",
    "prune_report",
    "size_of",
    "unit_reports",
    "verify_report",
]


class Change(msgspec.Struct, frozen=True):
    """A number before and after."""

    before: int
    after: int


class BarrierReport(msgspec.Struct, frozen=True):
    """Why units stay whole: the operator and node at fault, the reason, and the units."""

    op: str
    node: str
    reason: str
    units: list[str]


class UnitReport(msgspec.Struct, frozen=True):
    """One unit: what its channels are, how many and how many stay, the modules on both sides, and
    why it may not change."""

    name: str
    role: str
    num_channels: int
    kept: int
    is_mutable: bool
    why_not: str | None
    output_related: list[str]
    input_related: list[str]


class InspectReport(msgspec.Struct, frozen=True):
    """What a model is.

    Attributes:
        bytes: Of the model file and its external data; of the weights for a model in memory.
        macs: Of one inference, dynamic sizes counted as 1.
        units: The number of units that may lose channels.
        prunable_params: The fraction of the parameters that some choice could remove.
        pruned: How often onnxprune has pruned it.
    """

    model: str
    opset: int | None
    nodes: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    params: int
    bytes: int
    macs: int
    units: int
    prunable_params: float
    pruned: int
    barriers: list[BarrierReport]
    schema: str = "onnxprune.inspect/1"


class PruneReport(msgspec.Struct, frozen=True):
    """What a pruning did.

    Attributes:
        bytes: Of the model file and its external data; of the weights for a model in memory.
        macs: Of one inference, dynamic sizes counted as 1.
        changed: Input or output -> its new type and shape, of those that were allowed to change.
        units: The number of units that may lose channels.
        prunable_params: The fraction of the original's parameters that some choice could remove.
        verified: Whether the pruned model was checked and passed.
        max_error: The largest |pruned - reference| of any output element, None if not checked.
        reference: What it was compared with, and `tolerance` how.
        notes: What the comparison could not show, or why it failed.
        calibration: What was done with inputs, None without any.
    """

    output: str | None
    params: Change
    bytes: Change
    macs: Change
    changed: dict[str, str]
    units: int
    prunable_params: float
    verified: bool
    max_error: float | None
    reference: str | None
    tolerance: str | None
    notes: list[str]
    barriers: list[BarrierReport]
    calibration: CalibrationReport | None = None
    schema: str = "onnxprune.prune/1"


class VerifyReport(msgspec.Struct, frozen=True):
    """Whether a pruned model is proven.

    Attributes:
        channels: The channels of all units that may lose some.
        removed: How many of them the pruned model has lost.
        verified: Whether it passed.
        max_error: The largest |pruned - reference| of any output element, None if none was run.
        reference: What it was compared with, and `tolerance` how.
        notes: Why it failed, or what the comparison could not show.
    """

    model: str
    pruned: str
    channels: int
    removed: int
    verified: bool
    max_error: float | None
    reference: str | None
    tolerance: str
    notes: list[str]
    schema: str = "onnxprune.verify/1"


def inspect_report(units: Units) -> InspectReport:
    """Report on a model."""
    graph, found = units.graph, cost(units.graph)
    record = read_record(graph.model)
    return InspectReport(
        model=_file(graph.source),
        opset=graph.opset(),
        nodes=len(graph.nodes),
        inputs={v.name or "": _type(graph, v) for v in graph.inputs},
        outputs={v.name or "": _type(graph, v) for v in graph.outputs},
        params=found.params,
        bytes=found.bytes if (size := size_of(graph)) is None else size,
        macs=found.macs,
        units=len(units.mutable),
        prunable_params=round(units.prunable_share(), 6),
        pruned=len(record.history) if record is not None else 0,
        barriers=_barriers(units),
    )


def prune_report(
    units: Units,
    pruned: Graph,
    verdict: Verdict | None,
    files: Sequence[Path],
    calibration: CalibrationReport | None = None,
    size: int | None = None,
) -> PruneReport:
    """Report on a pruning.

    Args:
        units: The units of the original, with their choices.
        pruned: The pruned graph.
        verdict: What verification found, None where it was not asked for.
        files: The files of the pruned model, the model itself first; empty if none was written.
        calibration: What was done with inputs, None without any.
        size: The bytes of the original's files, which may be replaced by now; None without any.
    """
    before, after = cost(units.graph), cost(pruned)
    on_disk = bool(files) and size is not None
    return PruneReport(
        output=_file(files[0]) if files else None,
        params=Change(before.params, after.params),
        bytes=Change(
            size if size is not None and files else before.bytes,
            sum(file.stat().st_size for file in files) if on_disk else after.bytes,
        ),
        macs=Change(before.macs, after.macs),
        changed=_changed(units.graph, pruned),
        units=len(units.mutable),
        prunable_params=round(units.prunable_share(), 6),
        verified=verdict is not None and verdict.passed,
        max_error=verdict.max_error if verdict is not None else None,
        reference=(verdict.reference or None) if verdict is not None else None,
        tolerance=verdict.tolerance if verdict is not None else None,
        notes=[*verdict.problems, *verdict.notes] if verdict is not None else [],
        barriers=_barriers(units),
        calibration=calibration,
    )


def _changed(original: Graph, pruned: Graph) -> dict[str, str]:
    """The inputs and outputs that are not what they were."""
    pairs = zip(
        (*original.inputs, *original.outputs), (*pruned.inputs, *pruned.outputs), strict=True
    )
    return {
        str(before.name): _type(pruned, after)
        for before, after in pairs
        if describe(original, before) != describe(pruned, after)
    }


def verify_report(units: Units, pruned: Path, verdict: Verdict) -> VerifyReport:
    """Report on a verification; the units hold the choices that were verified."""
    return VerifyReport(
        model=_file(units.graph.source),
        pruned=_file(pruned),
        channels=sum(unit.num_channels for unit in units.mutable),
        removed=sum(int((~unit.mask).sum()) for unit in units.mutable),
        verified=verdict.passed,
        max_error=verdict.max_error,
        reference=verdict.reference or None,
        tolerance=verdict.tolerance,
        notes=[*verdict.problems, *verdict.notes],
    )


def unit_reports(units: Units) -> list[UnitReport]:
    """Report on every unit, in topological order."""
    return [_unit(unit) for unit in units]


def _unit(unit: MutableChannelUnit) -> UnitReport:
    return UnitReport(
        name=unit.name,
        role=unit.role,
        num_channels=unit.num_channels,
        kept=unit.current_choice,
        is_mutable=unit.is_mutable,
        why_not=unit.why_not,
        output_related=[channel.name for channel in unit.output_related],
        input_related=[channel.name for channel in unit.input_related],
    )


def _barriers(units: Units) -> list[BarrierReport]:
    held: dict[Barrier, list[str]] = {barrier: [] for barrier in units.barriers()}
    for unit in units:
        if unit.barrier is not None:
            held[unit.barrier].append(unit.name)
    return [BarrierReport(b.op, b.node, b.reason, names) for b, names in held.items()]


def _file(path: object) -> str:
    """The name of a file, which need not be text."""
    return str(path).encode(errors="backslashreplace").decode()


def _type(graph: Graph, value: object) -> str:
    dims = graph.shape(value)  # type: ignore[arg-type]
    shape = "?" if dims is None else ", ".join(map(str, dims))
    return f"{getattr(value, 'dtype', None)}[{shape}]".lower()


def size_of(graph: Graph) -> int | None:
    """The bytes of the files that a model was read from, None where there are none."""
    return sum(path.stat().st_size for path in graph.files) if graph.files else None
