"""Rules held against the operators themselves: a rule is a claim, and here it is checked."""

from onnxprune.oracle.cases import Case, case_of, onnx_cases
from onnxprune.oracle.check import Tally, cases, check, covers
from onnxprune.oracle.examples import examples
from onnxprune.oracle.gaps import Gap
from onnxprune.oracle.table import Row, family_of, markdown, table, unruled
from onnxprune.oracle.verdict import Verdict, judge, understood

__all__ = [
    "Case",
    "Gap",
    "Row",
    "Tally",
    "Verdict",
    "case_of",
    "cases",
    "check",
    "covers",
    "examples",
    "family_of",
    "judge",
    "markdown",
    "onnx_cases",
    "table",
    "understood",
    "unruled",
]
