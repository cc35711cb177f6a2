"""A sentence meets shapes."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.axes import Rule, parse
from onnxprune.axes.bind import Binding, bind
from onnxprune.errors import SentenceError
from onnxprune.graph import Dim

Shape = tuple[Dim, ...]


def dims(*sizes: int | str) -> Shape:
    """Numbers are static sizes, names dynamic ones."""
    return tuple(Dim(s) if isinstance(s, int) else Dim(10007 + ord(s[0]), s) for s in sizes)


def bound(rule: Rule, inputs: list[Shape | None], *outputs: Shape | None) -> Binding:
    return bind(rule, inputs, outputs)


CONV = "n (g c) ..., (g o) c ..., (g o) -> n (g o) ..."


def test_a_convolution() -> None:
    shapes: list[Shape | None] = [dims("N", 8, "H", "W"), dims(12, 2, 3, 3), dims(12)]
    binding = bound(Rule(CONV, sizes={"g": 4}), shapes, dims("N", 12, "H", "W"))
    assert {name: binding.sizes[name] for name in "goc"} == {"g": 4, "o": 3, "c": 2}
    assert [len(operand or ()) for operand in binding.inputs] == [4, 4, 1]
    assert binding.term_sizes(parse(CONV).inputs[0][1].parts[0], 8) == [4, 2]


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_dots_stand_for_any_number_of_axes(rank: int) -> None:
    spatial = (5,) * rank
    image = dims(2, 4, *spatial)
    binding = bound(Rule("n c ..., c -> n c ..."), [image, dims(4)], image)
    assert len(binding.inputs[0] or ()) == 2 + rank


def test_an_absent_operand() -> None:
    binding = bound(Rule("m k, n k, n -> m n"), [dims(2, 3), dims(4, 3)], dims(2, 4))
    assert binding.inputs[2] is None
    assert bound(Rule("m k, n k, n -> m n"), [dims(2, 3), dims(4, 3), None], None).sizes["n"] == 4


def test_sums_and_picks() -> None:
    rule = Rule("n a, n b -> n (a + b)")
    binding = bound(rule, [dims(2, 3), dims(2, 5)], dims(2, 8))
    assert binding.part_sizes(rule.parsed.outputs[0][1], 8) == [3, 5]
    rule = Rule("a b -> (a[i] + 2 + b[1:3])", indices={"i": np.array([0, 4, 4])})
    binding = bound(rule, [dims(5, 4)], dims(7))
    assert binding.part_sizes(rule.parsed.outputs[0][0], 7) == [3, 2, 2]
    padded = Rule("a -> (1 + a + _)")
    assert bound(padded, [dims(4)], dims(8)).part_sizes(padded.parsed.outputs[0][0], 8) == [1, 4, 3]


def test_copies_are_as_many_as_there_is_room_for() -> None:
    rule = Rule("a c -> a (~ c)")
    binding = bound(rule, [dims(2, 4)], dims(2, 12))
    assert binding.term_sizes(rule.parsed.outputs[0][1].parts[0], 12) == [3, 4]
    rule = Rule("a -> (~2 + a + ~1)")
    binding = bound(rule, [dims(4)], dims(7))
    assert binding.part_sizes(rule.parsed.outputs[0][0], 7) == [2, 4, 1]
    with pytest.raises(SentenceError):
        bound(rule, [dims(4)], dims(8))


def test_a_name_takes_its_size_from_a_static_place() -> None:
    binding = bound(Rule("a b -> b a"), [dims("N", 4)], dims(4, "N"))
    assert binding.sizes["b"] == 4
    binding = bound(Rule("a, a -> a"), [dims("N"), dims(4)], dims("M"))
    assert binding.sizes["a"] == 4


@pytest.mark.parametrize(
    ("rule", "inputs", "result"),
    [
        (Rule("a b -> a b"), [dims(2, 3, 4)], None),
        (Rule("a b ... -> a b"), [dims(2)], None),
        (Rule("a, a -> a"), [dims(2), dims(3)], None),
        (Rule("(g c) -> (c g)", sizes={"g": 3}), [dims(8)], None),
        (Rule("(g c) -> (c g)"), [dims(8)], None),
        (Rule("(g c) -> (c g)", sizes={"g": 0}), [dims(8)], None),
        (Rule("(g c) -> (c g)", sizes={"g": -1}), [dims(8)], None),
        (Rule("(a + 5) -> a"), [dims(4)], None),
        (Rule("a ... -> a ..."), [dims(4, 4)], None),
        (Rule("a -> a"), [dims(4)], dims(5)),
        (Rule("3 a -> a"), [dims(4, 4)], None),
        (Rule("a -> a"), [dims(0)], None),
    ],
)
def test_shapes_that_contradict_a_sentence(
    rule: Rule, inputs: list[Shape | None], result: Shape | None
) -> None:
    with pytest.raises(SentenceError, match=r".") as caught:
        bound(rule, inputs, result)
    assert str(rule.parsed) in str(caught.value)
