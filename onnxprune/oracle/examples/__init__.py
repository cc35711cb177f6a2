"""Cases of our own, beside ONNX's; one file per family."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onnxprune.oracle.cases import Case
from onnxprune.oracle.examples.attention import attention
from onnxprune.oracle.examples.fused import fused
from onnxprune.oracle.examples.picking import picking
from onnxprune.oracle.examples.plain import plain
from onnxprune.oracle.examples.quantized import quantized
from onnxprune.oracle.examples.recurrent import recurrent

__all__ = ["examples"]

FAMILIES = (attention, fused, picking, plain, quantized, recurrent)


def examples(operators: Collection[str]) -> Iterator[Case]:
    """Our own cases, as far as they can be run here.

    Args:
        operators: The operators to give cases of.
    """
    for family in FAMILIES:
        for number, made in enumerate(family()):
            if made.operator in operators:
                case = made.case(f"{family.__name__} example {number}", number)
                if case is not None:
                    yield case
