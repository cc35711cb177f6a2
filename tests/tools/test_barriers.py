from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import proto, units_of
from tools.barriers import held_by


def test_the_last_layer_is_held_by_the_output_alone():
    model = proto(
        "(float[1, 3, 8, 8] x) => (float[1, 5, 8, 8] y) "
        "{ h = Conv(x, w1, b1) y = Conv(h, w2, b2) }",
        "w1 4 3 1 1, b1 4, w2 5 4 1 1, b2 5",
    )
    ((barrier, held),) = held_by(units_of(model)).items()
    assert (barrier.kind, barrier.node) == ("boundary", "y")
    assert held.weights == {"b2": 5}
    assert held.share == pytest.approx(5 / (12 + 4 + 20 + 5))


def test_a_weight_is_counted_once_for_a_barrier_on_both_of_its_axes():
    model = proto(
        "(float[1, 8] x) => (float[1, 6] y) { h = MatMul(x, w) y = custom.Unknown(h, w) }",
        "w 8 6",
    )
    held = {barrier.node: found for barrier, found in held_by(units_of(model)).items()}
    assert all(found.weights == {"w": 48} for found in held.values())
    assert max(found.share for found in held.values()) == 1


def test_a_part_that_may_go_is_not_held():
    model = proto(
        "(float[1, 8] x) => (float[1, 3] y) { h = MatMul(x, w) k = MatMul(h, v) y = Relu(k) }",
        "w 8 6, v 6 3",
    )
    assert held_by(units_of(model)) == {}


def test_the_spatial_axis_of_a_later_convolution_holds_what_becomes_one():
    model = proto(
        "(float[1, 1, 4, 9] x) => (float[1, 2, 7, 9] y) "
        "{ f = Conv(x, filters) s = Transpose <perm = [0, 2, 1, 3]> (f) "
        "  h = Conv(s, w) y = Conv(h, v) }",
        "filters 9 1 1 1, w 3 4 3 1, v 2 3 1 1",
    )
    held = {barrier.op: found.weights for barrier, found in held_by(units_of(model)).items()}
    assert held["Conv"] == {"filters": 9}


def test_weights_of_integers_are_held_like_others():
    bytes_ = np.ones((4, 4), np.int8)
    model = proto(
        "(int8[1, 4] x) => (int32[1, 4] y) "
        "{ a = MatMulInteger(x, p) b = MatMulInteger(x, q) y = Add(a, b) }",
        p=bytes_,
        q=2 * bytes_,
    )
    held = {str(barrier): found.weights for barrier, found in held_by(units_of(model)).items()}
    weights = {"p": 16, "q": 16}
    assert held == {
        "'x': a graph input keeps its shape": weights,
        "'y': a graph output keeps its shape": weights,
    }
