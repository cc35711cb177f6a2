"""Every rule is held against its operator, over ONNX's own test cases and some more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from corpus import Case, cases, more_cases
from truth import judge

from onnxprune.axes import Rule
from onnxprune.ops import RULES

MOST = 5  # of ONNX's cases of one operator; the others add little

FREE = {"Shape", "Size"}  # they claim nothing: no element of their operand matters


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {name: [] for name in RULES}
    for case in (*cases(found, MOST), *more_cases()):
        found[case.node.op_type].append(case)
    return found


def test_no_rule_claims_what_does_not_hold(corpus: dict[str, list[Case]]) -> None:
    random = np.random.default_rng(0)
    wrong: list[str] = []
    claims: Counter[str] = Counter()
    slices: Counter[str] = Counter()
    for name, some in corpus.items():
        for case in some:
            verdict = judge(case, random)
            wrong += verdict.wrong
            claims[name] += verdict.claims
            slices[name] += verdict.slices
    assert wrong == []
    assert {name for name in RULES if not claims[name]} == FREE
    assert claims.total() > 500
    assert slices.total() > 400


@pytest.mark.parametrize(
    ("operator", "sentence", "sizes"),
    [
        ("Conv", "n (c g) ..., (o g) c ..., (o g) -> n (o g) ...", {"g": 4}),
        ("Conv", "n (g c) ..., (g o) c ..., (g o) -> n (g o) ...", {"g": 2}),
        ("ConvTranspose", "n (g c) ..., (g c) o ..., (o g) -> n (o g) ...", {"g": 2}),
        ("Softmax", "a b! c -> a b c", {}),
        ("Concat", "b x0, b x1, b x2 -> b (x1 + x0 + x2)", {}),
    ],
)
def test_a_rule_that_is_almost_right_is_found_out(
    operator: str, sentence: str, sizes: dict[str, int]
) -> None:
    random = np.random.default_rng(0)
    verdicts = [
        judge(case, random, Rule(sentence, sizes=sizes))
        for case in more_cases()
        if case.node.op_type == operator
    ]
    assert any(verdict.wrong for verdict in verdicts)
