"""What was done, as data and as text."""

from onnxprune.report.calibration import (
    CalibrationReport,
    HeldOutReport,
    RefitReport,
    held_out_report,
    refit_report,
)
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
    size_of,
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
    "CalibrationReport",
    "Change",
    "HeldOutReport",
    "InspectReport",
    "PruneReport",
    "RefitReport",
    "UnitReport",
    "VerifyReport",
    "explain",
    "explain_text",
    "held_out_report",
    "inspect_report",
    "inspect_text",
    "prune_report",
    "prune_text",
    "refit_report",
    "size_of",
    "unit_reports",
    "units_text",
    "verify_report",
    "verify_text",
]
