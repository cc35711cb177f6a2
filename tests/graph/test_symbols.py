from __future__ import annotations

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.graph import Dim
from onnxprune.graph.expressions import (
    evaluate,
    lower_bound,
    manageable,
    symbols_of,
    without_ceiling,
)
from onnxprune.graph.fallback import merge
from onnxprune.graph.symbols import Symbols


class TestSymbols:
    def test_a_static_size_is_itself(self) -> None:
        assert Symbols([]).dim(7) == Dim(7)
        assert Symbols([]).dim(-1) == Dim(-1)

    def test_each_symbol_has_its_own_prime_above_ten_thousand(self) -> None:
        symbols = Symbols([])
        a, b = symbols.dim("a"), symbols.dim("b")
        assert a is not None
        assert b is not None
        assert (a.size, b.size) == (10007, 10009)
        assert a.dynamic
        assert symbols.dim("a") == a

    def test_an_expression_is_evaluated_with_the_primes(self) -> None:
        symbols = Symbols([])
        a = symbols.dim("a")
        assert a is not None
        assert symbols.dim("2*a + 1") == Dim(2 * a.size + 1, "2*a + 1")
        assert symbols.dim("floor(a/2)") == Dim(a.size // 2, "floor(a/2)")
        assert symbols.dim("2*3 + 1") == Dim(7)

    def test_a_prime_divides_no_static_size(self) -> None:
        dim = Symbols([10007, 3 * 10009]).dim("a")
        assert dim is not None
        assert dim.size == 10037

    def test_a_fresh_dimension_is_like_no_other(self) -> None:
        symbols = Symbols([])
        first, second = symbols.fresh(), symbols.fresh()
        assert (first.symbol, second.symbol) == ("?1", "?2")
        assert first.size != second.size

    @pytest.mark.parametrize(
        "text", ["", "None", "a ? b", "1 +", "a/2", "2 - a", "a**9999999", "x" * 3000 + "+1"]
    )
    def test_what_cannot_be_evaluated_says_nothing(self, text: str) -> None:
        assert Symbols([]).dim(text or None) is None

    def test_expressions_that_grew_are_given_up(self) -> None:
        assert manageable("h**2 + w")
        assert not manageable("h**1024")
        assert not manageable("+".join(["h"] * 2000))


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a", 7),
            ("a.b_dim_0 + 1", 12),
            ("2*a - in", 9),
            ("a**2 / 7", 7),
            ("floor(a/2)", 3),
            ("floor((a - 1)/2 + 1/2) + ceiling(a/2)", 7),
            ("Max(0, Min(5, a) - 9)", 0),
            ("Mod(a, 3) + a % 4 + a // 2", 7),
            ("-(a) + 8", 1),
            ("a/2", None),
            ("unknown + 1", None),
            ("__import__('os')", None),
            ("a.real(1)", None),
            ("a if a else a", None),
            ("[a]", None),
            ("a**a", None),
            ("a/0", None),
            ("f(a)", None),
            ("floor()", None),
            ("1.5*a", None),
            ("(" * 300 + "a" + ")" * 300, None),
        ],
    )
    def test_only_arithmetic_is_evaluated_and_exactly(self, text: str, value: int | None) -> None:
        assert evaluate(text, {"a": 7, "a.b_dim_0": 11, "in": 5}) == value

    def test_symbols_are_named_in_order_and_functions_are_none(self) -> None:
        assert symbols_of("floor(b/2) + Max (a.x, b) + sum_1") == ["b", "a.x", "sum_1"]

    @given(st.integers(0, 99))
    def test_ceilings_can_be_said_with_floors(self, a: int) -> None:
        text = "2*ceiling(ceiling(a/2)/3 + (1)) + ceiling(a)"
        assert "ceiling" not in without_ceiling(text)
        assert evaluate(without_ceiling(text), {"a": a}) == evaluate(text, {"a": a})

    @given(st.integers(1, 99), st.integers(1, 99), st.integers(1, 9))
    def test_the_value_is_that_of_the_engine(self, a: int, b: int, k: int) -> None:
        a_dim, b_dim = ir.SymbolicDim("a"), ir.SymbolicDim("b")
        for dim in (a_dim * b_dim + k, (a_dim - b_dim) // k, (a_dim * k) % b_dim, a_dim * a_dim):
            assert evaluate(str(dim), {"a": a, "b": b}) == dim.evaluate({"a": a, "b": b})


def static_or_symbol() -> st.SearchStrategy[int | str | None]:
    return st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"]), st.none())


class TestMerging:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            (None, None, None),
            (None, [1, "a"], [1, "a"]),
            ([1, "a"], None, [1, "a"]),
            (["a", 2], [1, "b"], [1, 2]),
            (["a", None], ["b", "c"], ["a", "c"]),
            ([1, 2], [1, 3], [1, None]),
            ([1, 2], [1, 2, 3], None),
        ],
    )
    def test_what_either_knows_is_known_unless_they_disagree(
        self,
        first: list[int | str | None] | None,
        second: list[int | str | None] | None,
        expected: list[int | str | None] | None,
    ) -> None:
        one = None if first is None else ir.Shape(first)
        two = None if second is None else ir.Shape(second)
        merged = merge(one, two)
        assert merged == (None if expected is None else ir.Shape(expected))

    @given(st.lists(static_or_symbol(), max_size=4))
    def test_agreeing_with_oneself_changes_nothing(self, sizes: list[int | str | None]) -> None:
        assert merge(ir.Shape(sizes), ir.Shape(sizes)) == ir.Shape(sizes)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("h", 1),
        ("2*h - 2", 0),
        ("h - 2", -1),
        ("floor(h/2 - 1/2) + 1", 1),
        ("floor(floor(h/8 - 1/8)/2) + 1", 1),
        ("h**2", None),
        ("h - w", None),
        ("h/(w - 1)", None),
        ("(h - 2)*w", None),  # the more of w, the less
        ("h/2 +", None),
    ],
)
def test_what_an_expression_is_never_below(text: str, bound: int | None) -> None:
    assert lower_bound(text) == bound


@given(st.integers(1, 50), st.integers(1, 50), st.integers(-9, 9), st.integers(1, 9))
def test_no_size_is_below_the_bound(h: int, w: int, less: int, part: int) -> None:
    text = f"floor((2*h*w + {less})/{part}) + w"
    bound, size = lower_bound(text), evaluate(text, {"h": h, "w": w})
    assert bound is not None
    assert size is not None
    assert size >= bound
