"""Holding many rules against their operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from onnxprune.ops.limits import LIMITS, Limit
from onnxprune.oracle.cases import Case, onnx_cases
from onnxprune.oracle.examples import examples
from onnxprune.oracle.gaps import Gap
from onnxprune.oracle.verdict import Verdict, judge

__all__ = ["Tally", "cases", "check", "covers"]


@dataclass(slots=True)
class Tally:
    """What was found out about one operator.

    Attributes:
        operator: Its registered name.
        cases: How many cases it was tried on.
        permuted: How many claims the first oracle tried.
        removed: How many the second tried.
        wrong: What was claimed and does not hold.
        unexplained: What holds, was not claimed, and is no known limit.
        explained: What holds, was not claimed, and is a known limit.
        barred: Why nothing was claimed -> in how many cases.
    """

    operator: str
    cases: int = 0
    permuted: int = 0
    removed: int = 0
    wrong: list[str] = field(default_factory=list)
    unexplained: list[Gap] = field(default_factory=list)
    explained: list[Gap] = field(default_factory=list)
    barred: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        """Whether something is wrong, or missing for no known reason."""
        return bool(self.wrong or self.unexplained)

    def add(self, verdict: Verdict) -> None:
        """Count one case.

        Args:
            verdict: What was found out about it.
        """
        self.cases += 1
        self.permuted += verdict.permuted
        self.removed += verdict.removed
        self.wrong += verdict.wrong
        for gap in verdict.missing:
            known = any(covers(limit, gap) for limit in LIMITS)
            (self.explained if known else self.unexplained).append(gap)
        if verdict.barred:
            self.barred[verdict.barred] += 1


def cases(operators: Collection[str]) -> Iterator[Case]:
    """All cases of some operators: ONNX's own and ours.

    Args:
        operators: The operators.
    """
    yield from onnx_cases(operators)
    yield from examples(operators)


def check(operators: Collection[str], some: Iterable[Case] | None = None) -> list[Tally]:
    """Hold rules against their operators.

    Args:
        operators: The operators.
        some: The cases to try; all there are if None.

    Returns:
        A tally for each operator, in their order.
    """
    tallies = {operator: Tally(operator) for operator in operators}
    for case in cases(operators) if some is None else some:
        tallies[case.operator].add(judge(case))
    return list(tallies.values())


def covers(limit: Limit, gap: Gap) -> bool:
    """Whether a limit tells of a gap.

    Args:
        limit: The limit.
        gap: The gap.
    """
    return (
        gap.operator in limit.operators
        and gap.barred == limit.barred
        and limit.at in (None, *gap.places)
    )
