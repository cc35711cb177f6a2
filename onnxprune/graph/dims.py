"""Sizes of tensor dimensions, static or dynamic."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Dim"]


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension, or one element of a small integer tensor that describes shapes.

    Attributes:
        size: The size. For a dynamic dimension a stand-in: its expression evaluated with a large
            prime for each symbol, so that sizes of one graph can be compared, multiplied and
            factored consistently.
        symbol: The expression of a dynamic dimension (``"batch"``, ``"2*width"``), None when the
            size is static.
    """

    size: int
    symbol: str | None = None

    @property
    def dynamic(self) -> bool:
        """Whether the size is known only at run time."""
        return self.symbol is not None

    def __str__(self) -> str:
        return self.symbol if self.symbol is not None else str(self.size)
