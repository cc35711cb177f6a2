"""What is an attribute in one opset and an input in the next."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import check_model, ints, proto

Weights = dict[str, np.ndarray]


def middle(version: int, cases: list[tuple[int, str, Weights]]) -> tuple[str, Weights]:
    """The text of the newest case that the version knows."""
    _, text, weights = max((case for case in cases if case[0] <= version), key=lambda c: c[0])
    return text, weights


PIXELS = {"s": ints(0, 0, 16), "b": ints(0, 0, 4, 4)}

CASES: dict[str, list[tuple[int, str, Weights]]] = {
    "Split": [
        (7, "p, q = Split<axis=1, split=[2,4]>(a) m = Concat<axis=1>(q, p)", {}),
        (13, "p, q = Split<axis=1>(a, s) m = Concat<axis=1>(q, p)", {"s": ints(2, 4)}),
        (18, "p, q = Split<axis=-3, num_outputs=2>(a) m = Concat<axis=1>(q, p)", {}),
    ],
    "Split in halves": [
        (7, "p, q = Split<axis=1>(a) m = Concat<axis=1>(q, p)", {}),
        (18, "p, q = Split<axis=1, num_outputs=2>(a) m = Concat<axis=1>(q, p)", {}),
    ],
    "Slice": [
        (7, "t = Slice<axes=[1], starts=[-2], ends=[99]>(a) m = Concat<axis=1>(t, t, t)", {}),
        (
            10,
            "t = Slice(a, s, e, ax) m = Concat<axis=1>(t, t, t)",
            {
                "s": np.array([-2], np.int32),
                "e": np.array([2**31 - 1], np.int32),
                "ax": np.array([1], np.int32),
            },
        ),
        (13, "t = Slice(a, s, e) m = Concat<axis=1>(t, t)", {"s": ints(0, 3), "e": ints(9, 6)}),
    ],
    "Pad": [
        (7, 'm = Pad<pads=[0,1,0,0, 0,2,0,0], mode="constant">(a)', {}),
        (11, "m = Pad(a, p)", {"p": ints(0, 1, 0, 0, 0, 2, 0, 0)}),
        (18, "m = Pad(a, p, , ax)", {"p": ints(1, 2), "ax": ints(-3)}),
    ],
    "Squeeze": [
        (7, "u = Unsqueeze<axes=[1]>(a) m = Squeeze<axes=[1]>(u)", {}),
        (13, "u = Unsqueeze(a, ax) m = Squeeze(u, ax)", {"ax": ints(-4)}),
    ],
    "Clip": [
        (7, "m = Clip<min=0.0, max=0.5>(a)", {}),
        (11, "m = Clip(a, l, h)", {"l": np.array(0, np.float32), "h": np.array(0.5, np.float32)}),
        (13, "m = Clip(a, , h)", {"h": np.array(0.5, np.float32)}),
    ],
    "ReduceSum": [
        (7, "r = ReduceSum<axes=[2,3]>(a) m = Mul(a, r)", {}),
        (13, "r = ReduceSum(a, ax) m = Mul(a, r)", {"ax": ints(-1, 2)}),
    ],
    "ReduceMean": [
        (7, "r = ReduceMean<axes=[2,3], keepdims=1>(a) m = Mul(a, r)", {}),
        (18, "r = ReduceMean(a, ax) m = Mul(a, r)", {"ax": ints(2, 3)}),
    ],
    "Upsample": [
        (7, "m0 = Upsample<scales=[1.0,1.0,1.0,1.0]>(a) m = Relu(m0)", {}),
        (9, "m0 = Upsample(a, k) m = Relu(m0)", {"k": np.array([1, 1, 1, 1], np.float32)}),
        (10, "m0 = Resize(a, k) m = Relu(m0)", {"k": np.array([1, 1, 1, 1], np.float32)}),
        (11, "m = Resize(a, r, k)", {"r": np.zeros(0, np.float32), "k": np.ones(4, np.float32)}),
        (13, "m = Resize(a, , , k)", {"k": ints(2, 6, 4, 4)}),
    ],
    "Flattened": [
        (
            7,
            """sh = Shape(a) n = Gather(sh, z) n1 = Unsqueeze<axes=[0]>(n)
            t = Concat<axis=0>(n1, rest) f = Reshape(a, t) m = Reshape(f, back)""",
            {"z": np.array(0), "rest": ints(96), "back": ints(-1, 6, 4, 4)},
        ),
        (
            13,
            """sh = Shape(a) n = Gather(sh, z) n1 = Unsqueeze(n, zero)
            t = Concat<axis=0>(n1, rest) f = Reshape(a, t) m = Reshape(f, back)""",
            {"z": np.array(0), "zero": ints(0), "rest": ints(96), "back": ints(0, -1, 4, 4)},
        ),
        (
            15,
            """n = Shape<start=0, end=1>(a) sp = Shape<start=-2>(a) k = Shape<start=1, end=2>(a)
            t = Concat<axis=0>(n, rest) f = Reshape(a, t)
            back = Concat<axis=0>(n, k, sp) m = Reshape(f, back)""",
            {"rest": ints(96)},
        ),
    ],
    "Softmax over pixels": [
        (7, "f = Reshape(a, s) g = Softmax<axis=2>(f) m = Reshape(g, b)", PIXELS),
        (13, "f = Reshape(a, s) g = Softmax<axis=-1>(f) m = Reshape(g, b)", PIXELS),
    ],
}


@pytest.mark.parametrize("version", [7, 8, 9, 10, 11, 12, 13, 15, 18, 21, 22])
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_operator_in_its_opset(name: str, version: int) -> None:
    text, weights = middle(version, CASES[name])
    size = 9 if name == "Pad" else 6
    model = proto(
        f"(float[2,3,4,4] x) => (float[2,2,4,4] y) {{ a = Conv(x, w0) {text} y = Conv(m, w1) }}",
        f"w0 6 3 1 1, w1 2 {size} 1 1",
        version,
        **weights,
    )
    units = check_model(model, seeds=2)
    assert units.mutable
