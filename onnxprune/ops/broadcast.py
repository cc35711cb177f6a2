"""The broadcast rule of ONNX as axis names, for every operator that broadcasts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from onnxprune.graph.dims import Dim

__all__ = ["broadcast", "names"]

Shape = tuple[Dim, ...]


def names(count: int, prefix: str = "") -> list[str]:
    """Axis names: a, b, c ..., or p0, p1 ... with a prefix or beyond the alphabet."""
    if prefix or count > 26:
        return [f"{prefix or 'a'}{i}" for i in range(count)]
    return [chr(ord("a") + i) for i in range(count)]


def broadcast(
    shapes: Sequence[Shape | None], prefix: str = "", axes: Sequence[str] = ()
) -> tuple[list[str], str]:
    """The axes of operands that broadcast against each other, and of their result.

    A size of 1 is written ``1``. A dynamic size beside a static one may be 1 at run time, so that
    axis stays whole.

    Args:
        shapes: The shape of each operand, None where one is absent.
        prefix: A prefix for the names of the axes.
        axes: Names of the result's axes, where the caller has given them.

    Returns:
        The axes of each operand as text, and those of the result.
    """
    rank = max((len(s) for s in shapes if s is not None), default=0)
    names_ = list(axes) or names(rank, prefix)
    columns: list[list[str]] = []
    result: list[str] = []
    aligned = zip_longest(*(tuple(reversed(s or ())) for s in shapes))
    for name, dims in zip(reversed(names_), aligned, strict=True):
        wide = [d for d in dims if d is not None and (d.dynamic or d.size != 1)]
        same = len({(d.size, d.symbol) for d in wide}) == 1
        term = (name if same else "_") if wide else "1"
        columns.append(["" if d is None else (term if d in wide else "1") for d in dims])
        result.append(term)
    rows = [" ".join(filter(None, reversed(row))) for row in zip(*columns, strict=True)]
    return rows or [""] * len(shapes), " ".join(reversed(result))
