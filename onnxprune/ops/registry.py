"""Where operators register: their rule, their cost, and what a smaller graph asks of them."""

from __future__ import annotations

from collections.abc import Callable

from onnxprune.axes.flow import Flow
from onnxprune.axes.rule import Barred, Rule
from onnxprune.ops.patch import Kept, Patch
from onnxprune.ops.view import Op
from onnxprune.registry import Registry

__all__ = ["FLOWS", "MACS", "PATCHES", "RULES", "flow", "macs", "patch", "rule"]

RuleFunction = Callable[[Op], Rule | Barred]
FlowFunction = Callable[[Op], Flow]
MacsFunction = Callable[[Op], int]
PatchFunction = Callable[[Op, Kept], Patch]

RULES: Registry[RuleFunction] = Registry("rule")
FLOWS: Registry[FlowFunction] = Registry("flow")
MACS: Registry[MacsFunction] = Registry("macs")
PATCHES: Registry[PatchFunction] = Registry("patch")


def rule(*operators: str) -> Callable[[RuleFunction], RuleFunction]:
    """Register a rule for operators; those outside ai.onnx are written ``domain::Operator``."""
    return RULES.register(*operators)


def flow(*operators: str) -> Callable[[FlowFunction], FlowFunction]:
    """Register what goes into and comes out of the graphs that operators run."""
    return FLOWS.register(*operators)


def macs(*operators: str) -> Callable[[MacsFunction], MacsFunction]:
    """Register how many multiply-accumulates an operator costs; the others cost none."""
    return MACS.register(*operators)


def patch(*operators: str) -> Callable[[PatchFunction], PatchFunction]:
    """Register what a node of these operators must become when its tensors shrink.

    Only for what `Rule.attributes` and `Rule.shape_inputs` cannot say.
    """
    return PATCHES.register(*operators)
