"""The oracles themselves: a rule that is almost right, or says too little, is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from onnxprune.axes import Rule
from onnxprune.ops import PATCHES, Patch
from onnxprune.ops.limits import Limit
from onnxprune.oracle import Case, Gap, check, covers, examples, judge, onnx_cases, understood


def rule_of(case: Case) -> Rule:
    known = understood(case)
    assert isinstance(known, tuple)
    return known[0]


def says(before: str, after: str) -> Callable[[Rule], Rule]:
    """A rule with other words in its sentence."""

    def change(rule: Rule) -> Rule:
        return replace(rule, sentence=rule.sentence.replace(before, after))

    return change


def wrong_of(operator: str, change: Callable[[Rule], Rule]) -> str:
    """What is found to be wrong with changed rules, over our own cases."""
    found = [judge(case, change(rule_of(case))).wrong for case in examples([operator])]
    return "\n".join(what for wrong in found for what in wrong)


@pytest.mark.parametrize(
    ("operator", "change", "what"),
    [
        ("Conv", says("(g c)", "(c g)"), "permuting c changes result 0"),
        ("Conv", says("(g o)", "(o g)"), "permuting o changes result 0"),
        ("Conv", lambda rule: replace(rule, attributes={}), "removing from g fails"),
        ("ConvTranspose", says("-> n (g o)", "-> n (o g)"), "permuting o changes result 0"),
        ("Softmax", says("!", ""), "removing from b changes result 0"),
        ("Concat", says("(x0 + x1 + x2)", "(x1 + x0 + x2)"), "permuting x0 changes result 0"),
        ("Cast", says("a b -> a b", "a! b -> _ b"), "permuting a changes result 0"),
        ("Cast", says("a b -> a b", "a ~ -> a ~"), "axis 1 of operand 0 is not free"),
        ("Cast", says("b -> a b", "b! -> a ~"), "entries of axis 1 of result 0 are not alike"),
        ("ConvTranspose", says("-> n (g o)", "-> n (o g)"), "o in every group changes result 0"),
        ("MatMul", lambda rule: replace(rule, within={"n": "m"}), "n stands without its group m"),
    ],
)
def test_a_rule_that_is_almost_right(
    operator: str, change: Callable[[Rule], Rule], what: str
) -> None:
    assert wrong_of(operator, lambda rule: rule) == ""
    assert what in wrong_of(operator, change)


def test_a_patch_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(onnx_cases(["Split"]))
    assert not any(judge(case).wrong for case in cases)
    monkeypatch.setitem(PATCHES._items, "Split", lambda op, kept: Patch())
    assert any(
        "removing from a changes result 1" in what for case in cases for what in judge(case).wrong
    )


def test_numbers_made_of_sizes_keep_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(examples(["Shape"]))
    assert not any(judge(case).wrong for case in cases)
    monkeypatch.setitem(PATCHES._items, "Shape", lambda op, kept: Patch())
    for case in cases:
        assert "removing from ~ changes result 0" in "".join(judge(case).wrong)


@pytest.mark.parametrize(
    ("operator", "change", "places"),
    [
        ("Cast", says("a b -> a b", "a _ -> a _"), ((0, 1),)),
        ("MatMul", says("k", "_"), ((0, 3), (1, 1))),
    ],
)
def test_a_rule_that_says_too_little(
    operator: str, change: Callable[[Rule], Rule], places: tuple[tuple[int, int], ...]
) -> None:
    gaps = []
    for case in examples([operator]):
        assert judge(case).missing == []
        gaps += judge(case, change(rule_of(case))).missing
    assert places in [gap.places for gap in gaps]


def test_limits() -> None:
    gap = Gap("Op", ((0, 2), (1, 2)), "case", barred=False)
    assert covers(Limit(("Other", "Op"), "here", "so it is"), gap)
    assert covers(Limit(("Op",), "here", "so it is", at=(1, 2)), gap)
    assert not covers(Limit(("Op",), "here", "so it is", at=(2, 1)), gap)
    assert not covers(Limit(("Op",), "here", "so it is", barred=True), gap)
    assert not covers(Limit(("Other",), "here", "so it is"), gap)


def test_what_is_wrong_and_what_is_missing_fail_a_rule() -> None:
    (tally,) = check(["Hardmax"])
    assert (tally.wrong, tally.unexplained, tally.failed) == ([], [], False)
    assert tally.explained
    tally.unexplained.append(tally.explained[0])
    assert tally.failed


def test_operands_that_are_left_out_and_results_that_are_not_asked_for() -> None:
    clip = next(case for case in onnx_cases(["Clip"]) if case.name == "test_clip_default_max")
    assert [array is None for array in clip.inputs] == [False, True, False]
    again = clip.run(clip.inputs)
    assert np.array_equal(again[0], clip.outputs[0])
