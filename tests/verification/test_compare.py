"""Comparing answers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxprune.verification.compare import (
    ABSOLUTE,
    RELATIVE,
    STRICT,
    Difference,
    compare,
    differences,
    rounding_of,
    tolerance_of,
)


def _compared(answer: object, reference: object) -> Difference:
    return compare({"y": np.asarray(answer)}, {"y": np.asarray(reference)})


def test_equal_answers() -> None:
    found = _compared([1.0, 2.0], [1.0, 2.0])
    assert found == Difference(0, 0, True)
    assert found.agrees


@pytest.mark.parametrize("value", [0.01, 1.0, -100.0, 1e6])
def test_the_tolerance_is_absolute_and_relative(value: float) -> None:
    allowed = ABSOLUTE + RELATIVE * abs(value)
    assert _compared([value + 0.99 * allowed], [value]).agrees
    assert _compared([value - 0.99 * allowed], [value]).agrees
    beyond = _compared([value + 1.01 * allowed], [value])
    assert not beyond.agrees
    assert beyond.excess == pytest.approx(1.01, rel=1e-3)
    assert beyond.error == pytest.approx(1.01 * allowed, rel=1e-3)


def test_the_tolerance_is_what_is_promised() -> None:
    assert (ABSOLUTE, RELATIVE) == (1e-5, 1e-4)


def test_each_type_has_its_tolerance() -> None:
    assert tolerance_of(ir.DataType.FLOAT) == tolerance_of(ir.DataType.DOUBLE) == STRICT
    half = tolerance_of(ir.DataType.FLOAT16)
    assert (half.absolute, half.relative) == pytest.approx((2.0**-7 / 10, 2.0**-7))
    assert tolerance_of(ir.DataType.BFLOAT16).relative == 2.0**-4
    assert str(half) == "|difference| <= 0.00078125 + 0.0078125 * |reference|"


def test_rounding_to_steps_may_take_answers_a_share_of_the_largest_apart() -> None:
    reference = {"y": np.array([0.1, 16.0])}
    plain, stepped = (rounding_of(STRICT, steps) for steps in (False, True))
    for far, tolerance, agrees in (
        (1e-4, plain, True),
        (1e-3, plain, False),
        (0.99, stepped, True),
        (1.01, stepped, False),
    ):
        answer = {"y": reference["y"] + [far, 0]}
        assert compare(answer, reference, tolerance).agrees is agrees
    assert str(stepped).endswith("+ 0.0625 * max |reference|")


@pytest.mark.parametrize(
    ("answer", "reference", "agree"),
    [
        ([np.nan, 1], [np.nan, 1], True),
        ([np.nan, 1], [0, 1], False),
        ([0, 1], [np.nan, 1], False),
        ([np.inf, 1], [np.inf, 1], True),
        ([-np.inf, 1], [np.inf, 1], False),
        ([np.inf, 1], [0, 1], False),
        ([1e30, 1], [np.inf, 1], False),
        ([np.nan, 1], [np.inf, 1], False),
    ],
)
def test_nan_and_infinity(answer: list[float], reference: list[float], agree: bool) -> None:
    assert _compared(answer, reference).agrees is agree


def test_shapes_must_be_equal_even_where_they_broadcast() -> None:
    found = _compared(np.ones((2, 1)), np.ones((2, 3)))
    assert found == Difference(np.inf, np.inf, False)
    assert not _compared(np.ones(()), np.ones((1,))).agrees


def test_integers_booleans_and_strings() -> None:
    assert _compared([3, 4], [3, 4]).agrees
    assert not _compared([3, 5], [3, 4]).agrees
    assert _compared(np.array([2, 3], np.uint8), np.array([2, 3], np.uint8)).agrees
    assert not _compared(np.array([2, 3], np.uint8), np.array([3, 3], np.uint8)).agrees
    assert _compared([True, False], [True, False]).agrees
    assert not _compared([True, True], [True, False]).agrees
    assert _compared(["a", "b"], ["a", "b"]).agrees
    assert not _compared(["a", "c"], ["a", "b"]).agrees


def test_sequences_are_compared_tensor_by_tensor() -> None:
    one, two = np.array([1.0, 2.0]), np.array([[3.0]])
    wanted = {"s": [one, two], "nested": [[one], []], "absent": None}
    assert compare(wanted, wanted) == Difference(0, 0, True)
    found = compare({**wanted, "s": [one, two + 0.5]}, wanted)
    assert (found.error, found.varied, found.agrees) == (0.5, True, False)
    for name, other in (
        ("s", [one]),
        ("s", [one, two, two]),
        ("s", [two, one]),
        ("s", one),
        ("s", None),
        ("nested", [[], [one]]),
        ("absent", []),
        ("absent", one),
    ):
        assert compare({**wanted, name: other}, wanted).error == np.inf
        assert compare(wanted, {**wanted, name: other}).error == np.inf


def test_nothing_agrees_with_nothing() -> None:
    assert _compared(np.zeros((0, 3)), np.zeros((0, 3))) == Difference(0, 0, False)


def test_constant_references_do_not_vary() -> None:
    assert not _compared([1.0, 1.0], [1.0, 1.0]).varied
    assert not _compared([np.nan, np.inf], [np.nan, np.inf]).varied
    assert _compared([1.0, 2.0], [1.0, 2.0]).varied


def test_the_worst_output_of_the_worst_run_counts() -> None:
    good = {"a": np.array([1.0, 2.0]), "b": np.array([0.0])}
    bad = {"a": np.array([1.0, 2.0]), "b": np.array([0.5])}
    assert compare(good, good).agrees
    assert not compare(bad, good).agrees
    found = differences([good, bad, good], [good, good, good])
    assert (found.error, found.varied, found.agrees) == (0.5, True, False)


def test_every_run_has_its_reference() -> None:
    with pytest.raises(ValueError, match="zip"):
        differences([{}], [])


def test_small_answers_have_a_smaller_tolerance() -> None:
    """As the probabilities of 60,000 classes."""
    whole = np.random.default_rng(0).random(60000) / 30000
    assert not _compared(whole[::-1], whole).agrees
    assert _compared(whole * (1 + 1e-5), whole).agrees
    assert _compared([1e-5, 1.0], [0.0, 1.0]).agrees  # beside a large one as ever
    assert _compared([1e-7, 0.0], [0.0, 0.0]).agrees
    assert not _compared([1.1e-7, 0.0], [0.0, 0.0]).agrees
