"""Elements of vectors of sizes, where arithmetic is not that of whole numbers of any size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import ints, proto, run, to_proto

from onnxprune.graph import load

FEEDS = {"x": np.zeros((2, 3, 8), np.float32)}


def of_sizes(body: str, **constants: np.ndarray) -> onnx.ModelProto:
    """Numbers ``y`` that are computed from the sizes ``s`` of an input."""
    return proto(
        f"(float[N,T,8] x) => (int64[K] y) {{ s = Shape(x) last = Slice(s, two, three) {body} }}",
        two=ints(2),
        three=ints(3),
        **constants,
    )


@pytest.mark.parametrize("start", [-9, -2, -1, 0, 1, 9])
@pytest.mark.parametrize("end", [1 - 2**63, -(2**40), -4, -3, -1, 0, 2, 2**31 - 1, 2**63 - 1])
@pytest.mark.parametrize("step", [-2, -1, 1, 2])
def test_a_slice_of_sizes(start: int, end: int, step: int) -> None:
    model = of_sizes(
        "y = Slice(s, start, end, zero, step)",
        start=ints(start),
        end=ints(end),
        zero=ints(0),
        step=ints(step),
    )
    graph = load(model)
    told = graph.elements(graph.outputs[0])
    sizes = {"N": 2, "T": 3}
    assert told is not None
    assert [sizes.get(str(dim), dim.size) for dim in told if dim is not None] == [
        *run(model, FEEDS)["y"]
    ]


@pytest.mark.parametrize(
    "body",
    [
        "f = Cast<to=1>(last) g = Cast<to=1>(three) q = Div(f, g) r = Ceil(q) y = Cast<to=7>(r)",
        "f = Cast<to=1>(last) g = Cast<to=1>(three) q = Div(f, g) r = Mul(q, g) y = Cast<to=7>(r)",
        "f = Cast<to=9>(s) y = Cast<to=7>(f)",
        "m = Mul(s, many) f = Cast<to=2>(m) y = Cast<to=7>(f)",
        "back = Slice(fixed, minus, low, zero, minus) y = Identity(back)",
    ],
)
def test_loading_changes_no_number(body: str) -> None:
    model = of_sizes(
        body,
        many=ints(100),
        fixed=ints(7, 8, 9),
        minus=ints(-1),
        low=ints(1 - 2**63),
        zero=ints(0),
    )
    graph = load(model)
    wanted = run(model, FEEDS)["y"]
    np.testing.assert_array_equal(run(to_proto(graph), FEEDS)["y"], wanted)
    told = graph.elements(graph.outputs[0])
    for dim, number in zip(told or (), wanted, strict=False):
        assert dim is None or dim.dynamic or dim.size == number
