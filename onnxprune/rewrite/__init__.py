"""From a choice to a smaller graph: plan everything against the original, then apply."""

from onnxprune.rewrite.plan import Plan, plan
from onnxprune.rewrite.prune import prune
from onnxprune.rewrite.record import Record, prunings, read_record, recall

__all__ = ["Plan", "Record", "plan", "prune", "prunings", "read_record", "recall"]
