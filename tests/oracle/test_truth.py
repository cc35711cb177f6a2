"""Every rule is held against its operator, over ONNX's own test cases and some more."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxprune.ops import RULES
from onnxprune.ops.limits import LIMITS
from onnxprune.oracle import (
    Case,
    Tally,
    cases,
    check,
    covers,
    markdown,
    table,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"


@pytest.fixture(scope="module")
def corpus() -> list[Case]:
    return list(cases(list(RULES)))


@pytest.fixture(scope="module")
def tallies(corpus: list[Case]) -> list[Tally]:
    return check(list(RULES), corpus)


def test_no_rule_claims_what_does_not_hold(tallies: list[Tally]) -> None:
    assert [what for tally in tallies for what in tally.wrong] == []
    assert sum(tally.permuted for tally in tallies) > 1500
    assert sum(tally.removed for tally in tallies) > 2000


def test_every_rule_is_tried_by_both_oracles(tallies: list[Tally]) -> None:
    untried = {tally.operator for tally in tallies if not (tally.permuted and tally.removed)}
    barred = {tally.operator for tally in tallies if tally.barred.total() == tally.cases}
    assert untried == barred


def test_what_is_missing_is_a_known_limit(tallies: list[Tally]) -> None:
    assert [str(gap) for tally in tallies for gap in tally.unexplained] == []


def test_no_limit_is_stale(tallies: list[Tally]) -> None:
    found = [gap for tally in tallies for gap in tally.explained]
    for limit in LIMITS:
        stale = [
            operator
            for operator in limit.operators
            if not any(covers(limit, gap) for gap in found if gap.operator == operator)
        ]
        assert stale == [], limit


def test_the_document_is_up_to_date(corpus: list[Case]) -> None:
    made = markdown(table(list(RULES), corpus))
    assert made == DOCUMENT.read_text(encoding="utf-8"), "write it again: make rules"
