"""Grouped operators keep equally many channels in every group, not the same ones."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import (
    check_model,
    check_pruned,
    choose,
    close,
    feeds_of,
    proto,
    run,
    to_proto,
    units_of,
    zeroed,
)
from small import MODELS

from onnxprune.budget import ratio
from onnxprune.choice import Choices
from onnxprune.choice import choose as choose_by_budget
from onnxprune.errors import ChoiceError
from onnxprune.rewrite import prune, recall
from onnxprune.units import find_units
from onnxprune.verification import Verifier


def two_inputs() -> onnx.ModelProto:
    """Two groups that come from two layers: what one keeps binds the other."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            b = Conv(x, w1)
            c = Concat<axis=1>(a, b)
            g = Conv<group=2>(c, w2)
            y = Conv(g, w3)
        }""",
        "w0 4 3 1 1, w1 4 3 1 1, w2 6 4 1 1, w3 2 6 1 1",
    )


def shuffled() -> onnx.ModelProto:
    """A channel shuffle speaks of the positions by themselves."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            g = Conv<group=2>(a, w1)
            r = Reshape(g, s0)
            t = Transpose<perm=[0,2,1,3,4]>(r)
            f = Reshape(t, s1)
            y = Conv(f, w2)
        }""",
        "w0 8 3 1 1, w1 6 4 1 1, w2 2 6 1 1",
        s0=np.array([0, 2, 3, 4, 4]),
        s1=np.array([0, 6, 4, 4]),
    )


def twice() -> onnx.ModelProto:
    """Two grouped layers read the same channels, by the same groups."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0, b0)
            r = Relu(a)
            g = Conv<group=2>(r, w1)
            h = Conv<group=2>(r, w2)
            s = Add(g, h)
            y = Conv(s, w3)
        }""",
        "w0 8 3 1 1, b0 8, w1 6 4 1 1, w2 6 4 1 1, w3 2 6 1 1",
    )


def other_groups() -> onnx.ModelProto:
    """Two grouped layers read the same channels by different groups."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            g = Conv<group=2>(a, w1)
            h = Conv<group=4>(a, w2)
            p = Conv(g, w3)
            q = Conv(h, w4)
            y = Add(p, q)
        }""",
        "w0 16 3 1 1, w1 6 8 1 1, w2 8 4 1 1, w3 2 6 1 1, w4 2 8 1 1",
    )


def in_a_row() -> onnx.ModelProto:
    """One grouped layer feeds another of the same groups."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            g = Conv<group=2>(a, w1, b1)
            r = Relu(g)
            h = Conv<group=2>(r, w2)
            y = Conv(h, w3)
        }""",
        "w0 8 3 1 1, w1 6 4 1 1, b1 6, w2 10 3 1 1, w3 2 10 1 1",
    )


def computed_weight() -> onnx.ModelProto:
    """The weight is a product: its axis is spoken of by itself."""
    return proto(
        """(float[N,3,4,4] x, float[1,1,1,1] s) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            w = Mul(w1, s)
            g = Conv<group=2>(a, w)
            y = Conv(g, w2)
        }""",
        "w0 8 3 1 1, w1 6 4 1 1, w2 2 6 1 1",
    )


def shared_weight() -> onnx.ModelProto:
    """One grouped weight serves two layers."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            g = Conv<group=2>(a, w1)
            h = Conv<group=2>(g, w1)
            y = Conv(h, w2)
        }""",
        "w0 6 3 1 1, w1 6 3 1 1, w2 2 6 1 1",
    )


def output() -> onnx.ModelProto:
    """The grouped layer's result leaves the graph: its groups stay, its inputs need not."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,6,4,4] y) {
            a = Conv(x, w0)
            y = Conv<group=2>(a, w1)
        }""",
        "w0 8 3 1 1, w1 6 4 1 1",
    )


def depthwise_multiplier() -> onnx.ModelProto:
    """Every channel is filtered twice."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            d = Conv<group=6>(a, w1)
            y = Conv(d, w2)
        }""",
        "w0 6 3 1 1, w1 12 1 1 1, w2 2 12 1 1",
    )


def one_dimensional() -> onnx.ModelProto:
    return proto(
        """(float[N,3,9] x) => (float[N,2,9] y) {
            a = Conv(x, w0)
            g = Conv<group=3, pads=[1,1]>(a, w1, b1)
            y = Conv(g, w2)
        }""",
        "w0 9 3 1, w1 6 3 3, b1 6, w2 2 6 1",
    )


def flattened() -> onnx.ModelProto:
    """Every channel owns several columns of two classifiers, not equally many."""
    return proto(
        """(float[N,3,4,4] x) => (float[N,5] y) {
            a = Conv(x, w0)
            g = Conv<group=2>(a, w1)
            p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(g)
            f = Flatten(g)
            h = Flatten(p)
            b = Gemm(f, w2)
            c = Gemm(h, w3)
            y = Add(b, c)
        }""",
        "w0 8 3 1 1, w1 6 4 1 1, w2 96 5, w3 24 5",
    )


# The sizes of the units that may lose channels, with their numbers of groups (1: any channels).
CASES = {
    MODELS["grouped"]: [(8, 4), (4, 1), (12, 4)],
    MODELS["transposed"]: [(8, 2), (2, 1), (6, 2)],
    two_inputs: [(4, 1), (6, 2)],  # a group by itself is a whole layer
    shuffled: [(8, 2), (2, 1), (3, 1)],
    twice: [(8, 2), (2, 1), (6, 2)],
    other_groups: [(2, 1), (2, 1), (2, 1), (4, 1), (6, 2)],
    in_a_row: [(8, 2), (2, 1), (6, 2), (10, 2)],
    computed_weight: [(4, 1), (2, 1), (6, 2)],
    shared_weight: [(6, 2), (2, 1)],
    output: [(8, 2)],
    depthwise_multiplier: [(6, 1), (12, 6)],
    flattened: [(8, 2), (2, 1), (6, 2)],
    one_dimensional: [(9, 3), (3, 1), (6, 3)],
}


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_units_and_parity(build) -> None:  # type: ignore[no-untyped-def]
    units = check_model(build(), seeds=6)
    found = [(unit.num_channels, unit.num_groups) for unit in units.mutable]
    assert sorted(found) == sorted(CASES[build])


@pytest.mark.torch
@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_the_masked_twin_agrees(build) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("torch")
    units = units_of(build())
    verifier = Verifier(units)
    for seed in range(4):
        choose(units, seed)
        verifier.verify(prune(units), "torch").check()


def test_every_group_keeps_what_it_likes() -> None:
    model = MODELS["grouped"]()
    units = units_of(model)
    unit = units["Conv_0_(0, 8)_8"]
    unit.current_choice = np.array([1, 0, 0, 1, 1, 0, 0, 1], bool)
    small = check_pruned(model, units)
    w1 = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}["w1"]
    kept = small.initializers["w1"].const_value.numpy()  # type: ignore[union-attr]
    expected = [w1[row, [0, 1, 0, 1][row // 3]] for row in range(12)]
    np.testing.assert_array_equal(kept[:, 0], expected)


def test_scores_of_a_grouped_weight_are_those_of_its_groups() -> None:
    """The weight of a transposed convolution produces its channels on axis 1, group by group."""
    model = MODELS["transposed"]()
    w1 = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}["w1"]
    unit = units_of(model)["ConvTranspose_1_(0, 6)_6"]
    by_hand = [np.abs(w1[4 * g : 4 * g + 4, o]).mean() for g in range(2) for o in range(3)]
    np.testing.assert_allclose(unit.scores(), by_hand, rtol=1e-6)


def test_unequal_counts_are_refused() -> None:
    units = units_of(MODELS["grouped"]())
    unit = units["Conv_0_(0, 8)_8"]
    for mask in ([1, 1, 1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0, 0]):
        with pytest.raises(ChoiceError, match="equally many channels in each of its 4 groups"):
            unit.current_choice = np.array(mask, bool)
    with pytest.raises(ChoiceError, match="write a multiple of 4"):
        unit.current_choice = 6
    with pytest.raises(ChoiceError, match="equally many"):
        Choices({unit.name: [0, 2, 4]}).apply(units)
    unit.current_choice = 0.3
    assert unit.current_choice == 4
    assert {unit.sample_choice(seed) for seed in range(20)} == {4, 8}


def test_choices_are_recalled_and_pruned_again() -> None:
    model = MODELS["grouped"]()
    units = units_of(model)
    for seed in range(6):
        choose(units, seed)
        small = prune(units)
        again = find_units(units.graph)
        recall(again, small)
        close(run(to_proto(prune(again)), feeds_of(model)), run(to_proto(small), feeds_of(model)))
        units_of_small = find_units(small)
        choose(units_of_small, seed + 1)
        smaller = prune(units_of_small)
        close(
            run(to_proto(smaller), feeds_of(model)),
            run(zeroed(units.graph, smaller), feeds_of(model)),
        )


def test_ratios_keep_the_best_of_every_group() -> None:
    units = units_of(MODELS["grouped"]())
    choose_by_budget(units, ratio(0.5))
    for unit in units.mutable:
        if unit.groups is not None:
            scores = unit.scores()
            for group in range(unit.num_groups):
                inside = unit.groups == group
                assert scores[inside & unit.mask].min() >= scores[inside & ~unit.mask].max()


def test_heads_of_grouped_queries_choose_by_themselves() -> None:
    """Every head of keys serves equally many heads of queries, whichever they are."""
    model = proto(
        """(float[N,5,12] x) => (float[N,5,12] y) {
            q = MatMul(x, wq)
            k = MatMul(x, wk)
            v = MatMul(x, wv)
            a = Attention<q_num_heads=6, kv_num_heads=2>(q, k, v)
            y = MatMul(a, wo)
        }""",
        "wq 12 24, wk 12 8, wv 12 8, wo 24 12",
        opset=23,
    )
    units = units_of(model)
    found = {unit.name: (unit.role, unit.num_channels) for unit in units.mutable}
    assert sorted(found.values()) == [("head", 2), ("head", 6), ("head-size", 4), ("head-size", 4)]
    (queries,) = (unit for unit in units.mutable if unit.groups is not None)
    assert queries.groups is not None
    assert queries.groups.tolist() == [0, 0, 0, 1, 1, 1]
    queries.set_mask(np.array([1, 0, 0, 0, 0, 1], bool))
    pruned = check_pruned(model, units)
    assert pruned.initializers["wq"].shape == (12, 8)
    with pytest.raises(ChoiceError, match="equally many"):
        queries.set_mask(np.array([1, 1, 0, 0, 0, 1], bool))
