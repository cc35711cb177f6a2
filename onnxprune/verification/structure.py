"""The pruned model must be a sound model with the same inputs and outputs."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.axes.cut import Cut
from onnxprune.graph import Graph

__all__ = ["describe", "signature_problems"]


def signature_problems(original: Graph, pruned: Graph, cut: Cut | None = None) -> list[str]:
    """How the inputs and outputs of two graphs differ in name, type or shape.

    Args:
        original: The original.
        pruned: The pruned graph.
        cut: What inputs and outputs were allowed to lose.
    """
    problems = []
    for kind in ("inputs", "outputs"):
        before = [describe(original, value, cut) for value in getattr(original, kind)]
        after = [describe(pruned, value) for value in getattr(pruned, kind)]
        if before != after:
            changed = [f"{b} became {a}" for b, a in zip(before, after, strict=False) if a != b]
            text = "; ".join(changed) or f"{len(before)} became {len(after)}"
            problems.append(f"the {kind} differ: {text}")
    return problems


def describe(graph: Graph, value: ir.Value, cut: Cut | None = None) -> str:
    """A value's name, type and shape, dynamic sizes as question marks; after a cut, if any."""
    shape = graph.shape(value) if cut is None else cut.shape(value)
    dims = "?" if shape is None else ",".join("?" if d.dynamic else str(d.size) for d in shape)
    return f"{value.name}: {value.dtype}[{dims}]"
