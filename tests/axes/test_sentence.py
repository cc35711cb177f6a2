"""The language: what is a sentence, what is not, and how it is printed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onnxprune.axes import Sentence, parse
from onnxprune.errors import SentenceError

SENTENCES = [
    "n (g c) ..., (g o) c ..., (g o) -> n (g o) ...",
    "m k, n k, n -> m n",
    "n a, n b -> n (a + b)",
    "n (a + b) -> n a, n b",
    "(_ + a + _) -> a",
    "a -> (1 + a + 2)",
    "n (p q c) h w -> n c _ _, p q, h w",
    "a b! -> a 1",
    "a b -> a[i] b[4:8]",
    "a -> a[::-1]",
    "a -> a[-3:], a[:-3]",
    "~ ~ -> _",
    "_ -> ~ ~",
    "a c -> a (~ c)",
    "a -> (~2 + a + ~1)",
    "a (~2 + 1 + ~1) -> a",
    "a, , b -> a b",
    ", a -> a",
    "->",
    "a a -> a",
    "(g a + b) -> (a g + b)",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_in_normal_form_prints_as_it_is_written(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m k,n k,n->m n", "m k, n k, n -> m n"),
        ("  n\t( g   c )  -> n (g c)", "n (g c) -> n (g c)"),
        ("n a,n b->n(a+b)", "n a, n b -> n (a + b)"),
        ("(a) (b) -> b a", "a b -> b a"),
        ("(...) a -> a", "... a -> a"),
    ],
)
def test_equivalent_sentences(one: str, other: str) -> None:
    assert parse(one) == parse(other)
    assert str(parse(one)) == other


NAMES = st.sampled_from(["a", "b", "c", "heads", "x1", "x_2", "n"])
PLAIN = st.sampled_from(["_", "1", "7", "12"])


@st.composite
def sentences(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))

    def axis(result: bool) -> str:
        term = st.sampled_from(names)
        plain = st.one_of(PLAIN, st.sampled_from(["...", "~", "~3"]))
        part = st.lists(term, min_size=1, max_size=3).map(" ".join)
        return draw(
            st.one_of(
                term,
                term,
                plain,
                part.map(lambda p: f"({p})" if " " in p else p),
                st.lists(part, min_size=2, max_size=3).map(lambda p: f"({' + '.join(p)})"),
                *([term.map(lambda t: f"{t}[i]")] if result else [term.map(lambda t: f"{t}!")]),
            )
        )

    def operand(result: bool) -> str:
        axes = [axis(result) for _ in range(draw(st.integers(0, 4)))]
        first = axes.index("...") if "..." in axes else 0
        return " ".join(a for i, a in enumerate(axes) if a != "..." or i == first)

    everything = " ".join(names)
    left = [everything, *(operand(False) for _ in range(draw(st.integers(0, 2))))]
    right = [everything, *(operand(True) for _ in range(draw(st.integers(0, 2))))]
    return f"{', '.join(left)} -> {', '.join(right)}"


@given(sentences())
def test_parsing_what_is_printed_gives_the_same_sentence(text: str) -> None:
    sentence = parse(text)
    assert isinstance(sentence, Sentence)
    assert str(sentence) == text.strip()
    assert parse(str(sentence)) == sentence


MALFORMED = [
    "",
    "a b",
    "a -> b -> c",
    "a -> b",
    "a -> ",
    "a b -> a",
    "(a -> a",
    "a) -> a",
    "((a b) c) -> a b c",
    "a () -> a",
    "(a +) -> a",
    "(+ a) -> a",
    "a + b -> a b",
    "... ... -> ...",
    "(n ...) -> n",
    "a[i] -> a",
    "a -> a[]",
    "a -> a[x:y]",
    "a -> a[::0]",
    "a -> a[1:2:3:4]",
    "a -> a[",
    "a -> a]",
    "a -> ~",
    "~0 a -> a",
    "~a -> a",
    "a~ -> a~",
    "a ~! -> a",
    "0 a -> a",
    "-1 a -> a",
    "a -> a _!",
    "_[i] a -> a",
    "a? -> a?",
    "_a -> _a",
    "a ! -> a",
    "² a -> a",
    "a [i] -> a",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_sentence_is_quoted(text: str) -> None:
    with pytest.raises(SentenceError) as caught:
        parse(text)
    assert f"'{text.strip()}'" in str(caught.value)
    assert str(caught.value).endswith(".")


@given(st.text(alphabet="ab1 ()+,->!~_.[]:i²٣\n", max_size=30))
@example("٣ a -> a")
def test_nothing_but_a_sentence_error_comes_out(text: str) -> None:
    try:
        sentence = parse(text)
    except SentenceError:
        return
    assert parse(str(sentence)) == sentence


def test_what_is_contracted_and_what_a_statistic_is_over() -> None:
    sentence = parse("n (g c) ..., (g o) c ..., (g o) -> n (g o) ...")
    assert sentence.contracted == {"c"}
    assert sentence.statistic == frozenset()
    assert sentence.names() == ["n", "g", "c", "o"]
    assert parse("a b! -> a 1").statistic == {"b"}
