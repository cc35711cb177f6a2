"""What was done, as data and as text."""

from onnxprune.report.explain import explain
from onnxprune.report.reports import (
    BarrierReport,
    Change,
    InspectReport,
    PruneReport,
    UnitReport,
    VerifyReport,
    inspect_report,
    prune_report,
    unit_reports,
    verify_report,
)
from onnxprune.report.text import (
    explain_text,
    inspect_text,
    prune_text,
    units_text,
    verify_text,
)

__all__ = [
    "BarrierReport",
    "Change",
    "InspectReport",
    "PruneReport",
    "UnitReport",
    "VerifyReport",
    "explain",
    "explain_text",
    "inspect_report",
    "inspect_text",
    "prune_report",
    "prune_text",
    "unit_reports",
    "units_text",
    "verify_report",
    "verify_text",
]
