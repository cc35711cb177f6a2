"""Evaluate expressions of symbolic dimensions, exactly and without a computer algebra system."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

__all__ = ["evaluate", "lower_bound", "manageable", "symbols_of", "without_ceiling"]

_LONGEST = 1_000
_HIGHEST_POWER = 8
_POWER = re.compile(r"\*\*\s*\(?\s*(\d*)")
_NAME = re.compile(r"[A-Za-z_][\w.]*(?!\s*\()(?![\w.])", re.ASCII)

_Number = Fraction | int

_BINARY: dict[type[ast.operator], Callable[[_Number, _Number], _Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., _Number]] = {
    "floor": math.floor,
    "ceiling": math.ceil,
    "ceil": math.ceil,
    "Max": max,
    "max": max,
    "Min": min,
    "min": min,
    "Mod": operator.mod,
    "mod": operator.mod,
    "Abs": abs,
}


def manageable(text: str) -> bool:
    """Tell whether an expression is small enough to be worth keeping and safe to evaluate."""
    return len(text) <= _LONGEST and all(
        power and len(power) <= 2 and int(power) <= _HIGHEST_POWER for power in _POWER.findall(text)
    )


def symbols_of(text: str) -> list[str]:
    """Return the symbols of an expression in order of first appearance."""
    return list(dict.fromkeys(_NAME.findall(text)))


def evaluate(text: str, sizes: Mapping[str, int]) -> int | None:
    """Evaluate an expression.

    Args:
        text: The expression: sums, products, quotients, small powers, and the functions that
            shape inference makes use of. Symbols may contain dots.
        sizes: The size of each symbol.

    Returns:
        The value, None if the text is no such expression or its value is not a whole number.

    Example::

        >>> evaluate("floor(h/2) + 1", {"h": 7})
        4
    """
    if not manageable(text):
        return None
    places = {name: f"_{index}" for index, name in enumerate(symbols_of(text))}
    known = {place: Fraction(sizes[name]) for name, place in places.items() if name in sizes}
    try:
        tree = ast.parse(_NAME.sub(lambda match: places[match[0]], text.strip()), mode="eval")
        value = Fraction(_value(tree.body, known))
    except (SyntaxError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        return None
    return int(value) if value.denominator == 1 else None


def lower_bound(text: str) -> Fraction | None:
    """A number that an expression is never below if its symbols are 1 or more.

    Args:
        text: Sums, products and quotients of symbols and numbers, rounded or not.

    Returns:
        The number, None if there is none or the text is no such expression.

    Example::

        >>> lower_bound("floor(h/2 - 1/2) + 1")
        Fraction(1, 1)
    """
    if not manageable(text):
        return None
    try:
        return _least(ast.parse(_NAME.sub("size", text.strip()), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        return None


def without_ceiling(text: str) -> str:
    """Say ``ceiling(x)`` as ``-floor(-x)``, for a parser that does not know the former."""
    while (start := text.find("ceiling(")) >= 0:
        depth, end = 1, start + len("ceiling(")
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inner = text[start + len("ceiling(") : end - 1]
        text = f"{text[:start]}(-floor(-({inner}))){text[end:]}"
    return text


def _least(node: ast.expr) -> Fraction:
    """What an expression is never below."""
    match node:
        case ast.Name():
            return Fraction(1)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _least(left) + _least(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _least(left) - _value(right, {})
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            factors = _least(left), _least(right)
            if min(factors) >= 0:
                return factors[0] * factors[1]
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            if (divisor := _value(right, {})) > 0:
                return _least(left) / divisor
        case ast.Call(func=ast.Name(id="floor"), args=[argument]):
            return Fraction(math.floor(_least(argument)))
    return Fraction(_value(node, {}))


def _value(node: ast.expr, known: Mapping[str, Fraction]) -> _Number:
    match node:
        case ast.Constant(value=int() as number):
            return Fraction(number)
        case ast.Name(id=name):
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, known)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return _value(left, known) ** power
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, known), _value(right, known))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _FUNCTIONS[name](*(_value(argument, known) for argument in arguments))
    raise ValueError(f"not an expression of a size: {ast.dump(node)}")
