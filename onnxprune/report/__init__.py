"""What was done, as data and as text."""

from onnxprune.report.explain import explain
from onnxprune.report.reports import (
    BarrierReport,
    Change,
    InspectReport,
    PruneReport,
    UnitReport,
    inspect_report,
    prune_report,
    unit_reports,
)
from onnxprune.report.text import inspect_text, prune_text, units_text

__all__ = [
    "BarrierReport",
    "Change",
    "InspectReport",
    "PruneReport",
    "UnitReport",
    "explain",
    "inspect_report",
    "inspect_text",
    "prune_report",
    "prune_text",
    "unit_reports",
    "units_text",
]
