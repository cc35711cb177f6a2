"""Stand-in sizes: one prime for each symbol, and expressions evaluated with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from onnxprune.graph.dims import Dim
from onnxprune.graph.expressions import evaluate, symbols_of

__all__ = ["Symbols"]

_FIRST = 10_000


class Symbols:
    """Hands out the dimensions of one graph.

    Every free symbol gets its own prime above 10,000 that divides none of the graph's static
    sizes, in order of first appearance, so that the same model always gets the same stand-ins.
    """

    def __init__(self, static_sizes: Iterable[int]) -> None:
        self._static = {abs(size) for size in static_sizes if abs(size) > _FIRST}
        self._primes = self._generate()
        self._bindings: dict[str, int] = {}
        self._known: dict[str, Dim | None] = {}
        self._fresh = 0

    def fresh(self) -> Dim:
        """Return a dimension that nothing is known of."""
        self._fresh += 1
        return Dim(next(self._primes), f"?{self._fresh}")

    def dim(self, value: int | str | ir.SymbolicDim | None) -> Dim | None:
        """Translate a size or an expression.

        Args:
            value: A static size, an expression, or an ``onnx_ir`` dimension.

        Returns:
            The dimension, None when the value says nothing: anonymous, not an expression that can
            be evaluated, or not a whole number.
        """
        if isinstance(value, int):
            return Dim(value)
        text = value.value if isinstance(value, ir.SymbolicDim) else value
        if not text or text == "None":
            return None
        if text not in self._known:
            self._known[text] = self._evaluate(text)
        return self._known[text]

    def _evaluate(self, text: str) -> Dim | None:
        names = symbols_of(text)
        size = evaluate(text, {name: self._bind(name) for name in names})
        if size is None or size < 0:
            return None
        return Dim(size, text) if names else Dim(size)

    def _bind(self, name: str) -> int:
        if name not in self._bindings:
            self._bindings[name] = next(self._primes)
        return self._bindings[name]

    def _generate(self) -> Iterator[int]:
        candidate = _FIRST + 1
        while True:
            if _is_prime(candidate) and all(size % candidate for size in self._static):
                yield candidate
            candidate += 2


def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))
