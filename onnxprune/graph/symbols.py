"""Stand-in sizes: one prime for each symbol, and expressions evaluated with them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator

import onnx_ir as ir

from onnxprune.graph.dims import Dim

__all__ = ["Symbols", "manageable"]

logger = logging.getLogger(__name__)

_FIRST = 10_000
_LONGEST = 2_000
_POWER = re.compile(r"\*\*\s*\(?\s*(\d+)")
_HIGHEST_POWER = 8
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z")


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
        symbolic = ir.SymbolicDim(value) if isinstance(value, str) else value
        if symbolic is None or symbolic.value is None or symbolic.value == "None":
            return None
        text = symbolic.value
        if text not in self._known:
            self._known[text] = self._evaluate(text, symbolic)
        return self._known[text]

    def _evaluate(self, text: str, symbolic: ir.SymbolicDim) -> Dim | None:
        if _IDENTIFIER.match(text):
            return Dim(self._bind(text), text)
        if not manageable(text):
            return None
        try:
            names = sorted(symbolic.free_symbols())
            size = symbolic.evaluate({name: self._bind(name) for name in names})
        except Exception as error:
            logger.debug("cannot evaluate the dimension %r: %s", text, error)
            return None
        if not isinstance(size, int) or size < 0:
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


def manageable(text: str) -> bool:
    """Tell whether an expression is small enough to be worth keeping and safe to evaluate."""
    return len(text) <= _LONGEST and all(
        len(power) <= 2 and int(power) <= _HIGHEST_POWER for power in _POWER.findall(text)
    )


def _is_prime(odd: int) -> bool:
    return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))
