"""Sizes that are divided or chosen: what can be told without running, and what cannot."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ints, proto

from onnxprune.graph import load

TARGET = """(float[N,1,S,1] x, int64[4] free) => (float[N,M,S,K] y) {
    shape = Shape(x)
    n = Slice(shape, zero, one)
    target = Concat<axis=0>(n, minus, three, two)
    asks = Equal(target, minus)
    sizes = Where(asks, ones, target)
    y = Expand(x, sizes)
}"""


def test_a_target_that_leaves_axes_as_they_are() -> None:
    model = proto(
        TARGET, zero=ints(0), one=ints(1), minus=ints(-1), ones=np.ones(4, np.int64),
        three=ints(3), two=ints(2),
    )  # fmt: skip
    graph = load(model)
    shape = graph.shape(graph.outputs[0])
    assert shape is not None
    assert [dim if dim.dynamic else dim.size for dim in shape[1:]] == [1, 3, 2]
    assert shape[0] == graph.shape(graph.inputs[0])[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("condition", "chosen"),
    [
        ("Equal(shape, shape)", [None, 1, None, 4]),
        ("Equal(shape, minus)", [9, 9, 9, 9]),
        ("Equal(free, minus)", [None, None, None, None]),  # what is fed may be negative
        ("Equal(shape, five)", [None, 9, None, 9]),  # a size may be five
        ("Equal(less, minus)", [None, 1, None, 9]),  # a difference of sizes may be negative
    ],
)
def test_what_is_chosen(condition: str, chosen: list[int | None]) -> None:
    model = proto(
        f"""(float[N,1,S,4] x, int64[4] free) => (int64[4] y) {{
            shape = Shape(x)
            less = Sub(shape, two)
            asks = {condition}
            y = Where(asks, shape, nine)
        }}""",
        minus=ints(-1), five=ints(5), nine=ints(9), two=ints(2),
    )  # fmt: skip
    graph = load(model)
    (where,) = (node for node in graph.nodes if node.op_type == "Where")
    elements = graph.elements(where.outputs[0])
    known = [e.size if e is not None and not e.dynamic else None for e in elements or [None] * 4]
    if condition == "Equal(shape, shape)":
        assert [e.symbol for e in elements or () if e is not None and e.dynamic] == ["N", "S"]
    assert known == chosen


@pytest.mark.parametrize(
    ("quotient", "told"),
    [
        ("Div(four, two)", "2"),
        ("Div(five, two)", "2"),
        ("Div(minus, two)", "-2"),
        ("Div(five, zero)", None),
        ("Div(large, four)", "N"),
        ("Div(large, two)", "2*N"),
        ("Div(large, five)", "floor(4*N/5)"),
        ("Div(large, n)", "4"),
        ("Div(less, two)", "2*N - 2"),
        ("Div(less, five)", "floor(4*N/5 - 4/5)"),
        ("Div(fewer, two)", None),  # it may be negative, and is not rounded down then
        ("Div(free, two)", None),
    ],
)
def test_quotients(quotient: str, told: str | None) -> None:
    model = proto(
        f"""(float[N,3] x, int64[1] free) => (int64[1] y) {{
            n = Shape<start=0, end=1>(x)
            large = Mul(n, four)
            less = Sub(large, four)
            fewer = Sub(n, four)
            y = {quotient}
        }}""",
        zero=ints(0), two=ints(2), four=ints(4), five=ints(5), minus=ints(-4),
    )  # fmt: skip
    graph = load(model)
    (element,) = graph.elements(graph.outputs[0]) or [None]
    assert (None if element is None else str(element)) == told


def test_a_quotient_of_floats_is_not_that_of_integers() -> None:
    model = proto(
        """(float[N,7] x) => (float[1] y) {
            n = Shape<start=1, end=2>(x)
            f = Cast<to=1>(n)
            t = Cast<to=1>(two)
            y = Div(f, t)
        }""",
        two=ints(2),
    )
    graph = load(model)
    assert graph.elements(graph.outputs[0]) is None


@pytest.mark.parametrize(("last", "told"), [(96, True), (48, False)])
def test_one_unknown_size_before_a_reshape_is_the_one_after_it(last: int, told: bool) -> None:
    model = proto(
        """(float[4,N,96] x, int64[1] free) => (float[A,B,C,D] z) {
            target = Concat<axis=0>(two, two, free, last)
            y = Reshape(x, target)
            z = Relu(y)
        }""",
        two=ints(2), last=ints(last),
    )  # fmt: skip
    graph = load(model)
    shape = graph.shape(graph.nodes[-1].inputs[0])  # type: ignore[arg-type]
    assert shape is not None
    assert [dim.size for dim in shape if not dim.dynamic] == [2, 2, last]
    assert (shape[2] == graph.shape(graph.inputs[0])[1]) is told  # type: ignore[index]
