"""The axis language: one sentence says which axes of an operator are the same axis.

::

    n (g c) ..., (g o) c ..., (g o) -> n (g o) ...        Conv
    n a, n b -> n (a + b)                                  Concat
    a b! -> a 1                                            ReduceMean over the second axis

A sentence is operands, an arrow, results. Operands are separated by commas, their axes by spaces.

=============  ====================================================================================
``c``          an index set; the same name is the same index set wherever it stands
``c!``         a statistic is taken over it (mean, max, softmax): removing an index means
               that the statistic is over what is left
``c[i]``       in a result: the indices ``i`` of ``c``, in that order; ``i`` is an array given with
               the sentence, or a slice such as ``c[4:8]``, ``c[::-1]``
``(g c)``      a product, major to minor
``(a + b)``    a direct sum; products bind tighter: ``(g a + b)``
``1``, ``4``   that many indices which always stay
``_``          an axis that always stays whole
``~``          of an operand: an axis that may lose indices without any effect on the results;
               of a result: entries that are all alike, as many as are asked for
``~3``         three such indices of an operand, or entries of a result
``...``        any number of axes that always stay whole (spatial axes, kernels)
=============  ====================================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from onnxprune.errors import SentenceError

__all__ = ["ELLIPSIS", "FREE", "Axis", "Operand", "Sentence", "Term", "parse"]

_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(:(-?[1-9]\d*)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Term:
    """The smallest part of an axis: a name, a number, ``_``, ``~``, ``~3`` or ``...``."""

    text: str
    statistic: bool = False
    index: str | None = None

    @property
    def is_name(self) -> bool:
        """Whether the term names an index set."""
        return self.text[0].isalpha()

    @property
    def is_alike(self) -> bool:
        """Whether the term is free in an operand, and in a result entries that are all alike."""
        return self.text[0] == "~"

    @property
    def count(self) -> int | None:
        """How many indices a number such as ``4`` or ``~3`` says there are."""
        digits = self.text.removeprefix("~")
        return int(digits) if digits.isdecimal() else None

    def __str__(self) -> str:
        index = "" if self.index is None else f"[{self.index}]"
        return self.text + index + ("!" if self.statistic else "")


FREE, ELLIPSIS = Term("~"), Term("...")


@dataclass(frozen=True, slots=True)
class Axis:
    """A direct sum of products of terms; most axes are one part of one term."""

    parts: tuple[tuple[Term, ...], ...]

    @property
    def term(self) -> Term | None:
        """The only term of a plain axis, None for a sum or a product."""
        return self.parts[0][0] if len(self.parts) == 1 and len(self.parts[0]) == 1 else None

    def terms(self) -> Iterator[Term]:
        """All terms, left to right."""
        for part in self.parts:
            yield from part

    def __str__(self) -> str:
        text = " + ".join(" ".join(map(str, part)) for part in self.parts)
        return text if self.term else f"({text})"


Operand = tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A parsed sentence.

    Attributes:
        inputs: One tuple of axes per operand.
        outputs: One tuple of axes per result.
        contracted: Names that stand more than once in operands and in no result.
        statistic: Names over which a statistic is taken.
    """

    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    contracted: frozenset[str]
    statistic: frozenset[str]

    def names(self) -> list[str]:
        """All names, in order of appearance."""
        found = dict.fromkeys(
            term.text
            for operand in (*self.inputs, *self.outputs)
            for axis in operand
            for term in axis.terms()
            if term.is_name
        )
        return list(found)

    def __str__(self) -> str:
        sides = (", ".join(" ".join(map(str, op)) for op in s) for s in (self.inputs, self.outputs))
        return " -> ".join(sides).strip()


@lru_cache(maxsize=4096)
def parse(text: str) -> Sentence:
    """Parse a sentence.

    Args:
        text: The sentence.

    Returns:
        The parsed sentence; ``str`` of it is the sentence in normal form.

    Raises:
        SentenceError: If the text is not a sentence; the message quotes it.

    Example::

        >>> print(parse("m k,n k,n -> m n"))
        m k, n k, n -> m n
    """
    if text.count("->") != 1:
        raise _error(text, "it needs exactly one '->'")
    left, right = text.split("->")
    inputs = tuple(_operand(text, part) for part in left.split(","))
    outputs = tuple(_operand(text, part) for part in right.split(","))
    sentence = Sentence(inputs, outputs, _contracted(inputs, outputs), _statistic(inputs, outputs))
    _check(text, sentence)
    return sentence


def _error(text: str, why: str) -> SentenceError:
    return SentenceError(f"The axis sentence '{text.strip()}' is malformed: {why}.")


def _operand(text: str, part: str) -> Operand:
    axes: list[Axis] = []
    group: list[list[Term]] | None = None
    for token in _tokens(part):
        if token == "(":
            if group is not None:
                raise _error(text, "brackets inside brackets are not allowed")
            group = [[]]
        elif token == ")":
            if group is None:
                raise _error(text, "')' without '('")
            if not all(group):
                raise _error(text, "an empty bracket or a '+' without a neighbour")
            axes.append(Axis(tuple(map(tuple, group))))
            group = None
        elif token == "+":
            if group is None:
                raise _error(text, "'+' stands only inside brackets")
            group.append([])
        else:
            term = _term(text, token)
            if group is None:
                axes.append(Axis(((term,),)))
            else:
                group[-1].append(term)
    if group is not None:
        raise _error(text, "'(' without ')'")
    if sum(axis.term == ELLIPSIS for axis in axes) > 1:
        raise _error(text, "'...' stands at most once in an operand")
    if any(ELLIPSIS in axis.terms() for axis in axes if axis.term is None):
        raise _error(text, "'...' cannot stand inside brackets")
    return tuple(axes)


def _tokens(part: str) -> Iterator[str]:
    word, depth = "", 0
    for char in part + " ":
        depth += (char == "[") - (char == "]")
        if depth == 0 and char in "()+ \t\n":
            if word:
                yield word
            word = ""
            if char in "()+":
                yield char
        else:
            word += char
    if word.strip():
        yield word.strip()


def _term(text: str, token: str) -> Term:
    body, statistic = (token[:-1], True) if token.endswith("!") else (token, False)
    index = None
    if body.endswith("]") and "[" in body:
        body, _, index = body[:-1].partition("[")
    if not body:
        raise _error(text, f"'{token}' has no name")
    is_name = body[0].isalpha() and body.replace("_", "a").isalnum()
    if not is_name and (statistic or index is not None):
        raise _error(text, f"'{token}' marks something that is not a name")
    if index is not None and not (index.isidentifier() or _SLICE.fullmatch(index)):
        raise _error(text, f"'[{index}]' is neither the name of an array nor a slice")
    digits = body.removeprefix("~")
    if is_name or body in ("_", "~", "...") or (digits.isdecimal() and int(digits) > 0):
        return Term(body, statistic, index)
    raise _error(text, f"'{token}' is neither a name, a number, '_', '~' nor '...'")


def _occurrences(operands: tuple[Operand, ...]) -> Counter[str]:
    """How often each name stands in some operands."""
    return Counter(
        t.text for operand in operands for axis in operand for t in axis.terms() if t.is_name
    )


def _contracted(inputs: tuple[Operand, ...], outputs: tuple[Operand, ...]) -> frozenset[str]:
    kept = _occurrences(outputs)
    return frozenset(n for n, k in _occurrences(inputs).items() if k > 1 and n not in kept)


def _statistic(inputs: tuple[Operand, ...], outputs: tuple[Operand, ...]) -> frozenset[str]:
    terms = (t for operand in (*inputs, *outputs) for axis in operand for t in axis.terms())
    return frozenset(t.text for t in terms if t.statistic)


def _check(text: str, sentence: Sentence) -> None:
    taken = _occurrences(sentence.inputs)
    given = _occurrences(sentence.outputs)
    for name in sentence.names():
        if name not in taken:
            raise _error(text, f"'{name}' stands in a result but in no operand")
        if taken[name] + given[name] == 1 and name not in sentence.statistic:
            raise _error(
                text, f"'{name}' stands alone; write '_' (kept whole), '~' (free) or '{name}!'"
            )
    for operand in sentence.inputs:
        for axis in operand:
            if any(t.index is not None for t in axis.terms()):
                raise _error(text, "an index such as 'c[i]' stands only in results")
