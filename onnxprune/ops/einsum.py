"""Einsum: its equation is its sentence, all but written out."""

from __future__ import annotations

import math
from collections import Counter

from onnxprune.axes.rule import Rule
from onnxprune.graph.dims import Dim
from onnxprune.ops.broadcast import names
from onnxprune.ops.registry import macs, rule
from onnxprune.ops.view import Op, Unknown


def _equation(op: Op) -> tuple[list[list[str]], list[str]]:
    """The letters of each operand and of the result, ``...`` written out as ``e0 e1``."""
    left, arrow, right = op.attr("equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    extra = [len(op.shape(i)) - len(term.replace("...", "")) for i, term in enumerate(terms)]
    most = names(max([n for n, t in zip(extra, terms, strict=True) if "..." in t], default=0), "e")
    if not arrow:
        seen = Counter(left.replace(",", "").replace(".", ""))
        right = "..." + "".join(sorted(letter for letter, count in seen.items() if count == 1))

    def letters(term: str, count: int) -> list[str]:
        before, _, after = term.partition("...")
        return [*before, *(most[len(most) - count :] if "..." in term else []), *after]

    taken = [letters(term, count) for term, count in zip(terms, extra, strict=True)]
    if any(len(axes) != len(op.shape(i)) for i, axes in enumerate(taken)):
        raise Unknown("its equation does not fit its operands")
    return taken, letters(right, len(most))


def _sizes(op: Op, taken: list[list[str]]) -> dict[str, set[Dim]]:
    """The sizes that each letter stands for; one of 1 beside others broadcasts and is left out."""
    met: dict[str, set[Dim]] = {}
    for i, axes in enumerate(taken):
        for letter, dim in zip(axes, op.shape(i), strict=True):
            met.setdefault(letter, set()).add(dim)
    return {letter: dims - {Dim(1)} or dims for letter, dims in met.items()}


@rule("Einsum")
def einsum(op: Op) -> Rule:
    """https://onnx.ai/onnx/operators/onnx__Einsum.html; sizes of 1 broadcast."""
    taken, given = _equation(op)
    sizes = _sizes(op, taken)

    def term(letter: str, dim: Dim | None = None) -> str:
        if dim == Dim(1) or sizes[letter] == {Dim(1)}:
            return "1"
        return letter if len(sizes[letter]) == 1 else "_"

    operands = [list(map(term, axes, op.shape(i))) for i, axes in enumerate(taken)]
    result = [term(letter) for letter in given]
    seen = Counter(name for axes in (*operands, result) for name in set(axes))
    alone = {letter: f"{letter}!" for letter in sizes if seen[letter] == 1}
    text = ", ".join(" ".join(alone.get(name, name) for name in axes) for axes in operands)
    return Rule(f"{text} -> {' '.join(result)}", reason="one of its sizes may be 1 at run time")


@macs("Einsum")
def einsum_macs(op: Op) -> int:
    """All operands meet at every combination of indices; a single one is summed, not multiplied."""
    taken, _ = _equation(op)
    if len(taken) < 2:
        return 0
    sizes = _sizes(op, taken).values()
    return (len(taken) - 1) * math.prod(max(dim.size for dim in dims) for dims in sizes)
