"""Parameters, bytes and multiply-accumulates, against counts made by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from helpers import check_pruned, choose, proto, units_of
from small import MODELS

from onnxprune.budget import (
    BUDGETS,
    Budget,
    Cost,
    budget,
    cost,
    cost_of_cut,
    memory,
    parts,
    parts_of_cut,
    size,
)
from onnxprune.budget.cost import Part, ShapeOf
from onnxprune.choice import choose as best_choice
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.rewrite import prune

SMALL = 64
"""Bytes of what computes with sizes."""


def _macs(body: str, shapes: str) -> int:
    return cost(load(proto(body, shapes))).macs


def test_conv_1d() -> None:
    body = "(float[N,4,10] x) => (float[N,6,8] y) { y = Conv(x, w) }"
    assert _macs(body, "w 6 4 3") == 6 * 8 * (4 * 3)


def test_conv_2d_with_stride_padding_and_dilation() -> None:
    body = """(float[N,3,9,11] x) => (float[N,8,h,v] y) {
        y = Conv<strides=[2,1], pads=[1,2,1,2], dilations=[1,2]>(x, w, b)
    }"""
    height, width = (9 + 2 - 3) // 2 + 1, 11 + 4 - 5 + 1
    assert _macs(body, "w 8 3 3 3, b 8") == 8 * height * width * (3 * 3 * 3)


def test_conv_3d() -> None:
    body = "(float[N,2,4,5,6] x) => (float[N,3,3,4,5] y) { y = Conv(x, w) }"
    assert _macs(body, "w 3 2 2 2 2") == 3 * (3 * 4 * 5) * (2 * 2 * 2 * 2)


def test_grouped_conv_counts_the_channels_of_one_group() -> None:
    body = "(float[N,8,4,4] x) => (float[N,12,4,4] y) { y = Conv<group=4>(x, w) }"
    assert _macs(body, "w 12 2 1 1") == 12 * 16 * 2


def test_depthwise_conv() -> None:
    body = "(float[N,8,6,6] x) => (float[N,8,4,4] y) { y = Conv<group=8>(x, w) }"
    assert _macs(body, "w 8 1 3 3") == 8 * 16 * 9


def test_conv_transpose_counts_where_each_input_element_goes() -> None:
    body = "(float[N,4,5,5] x) => (float[N,6,10,10] y) { y = ConvTranspose<strides=[2,2]>(x, w) }"
    assert _macs(body, "w 4 6 2 2") == 4 * 25 * (6 * 2 * 2)


def test_grouped_conv_transpose() -> None:
    body = "(float[N,4,5] x) => (float[N,6,6] y) { y = ConvTranspose<group=2>(x, w) }"
    assert _macs(body, "w 4 3 2") == 4 * 5 * (3 * 2)


def test_matmul_over_a_sequence() -> None:
    body = "(float[N,7,4] x) => (float[N,7,5] y) { y = MatMul(x, w) }"
    assert _macs(body, "w 4 5") == 7 * 4 * 5


def test_matmul_of_two_activations() -> None:
    body = """(float[N,2,7,4] x) => (float[N,2,7,7] y) {
        t = Transpose<perm=[0,1,3,2]>(x)
        y = MatMul(x, t)
    }"""
    assert _macs(body, "") == 2 * 7 * 7 * 4


@pytest.mark.parametrize(
    ("attributes", "x", "w"),
    [("", "3,4", "4 5"), ("<transA=1>", "4,3", "4 5"), ("<transB=1>", "3,4", "5 4")],
)
def test_gemm(attributes: str, x: str, w: str) -> None:
    body = f"(float[{x}] x) => (float[3,5] y) {{ y = Gemm{attributes}(x, w) }}"
    assert _macs(body, f"w {w}") == 3 * 4 * 5


def test_params_are_weights_and_bytes_are_all_initializers() -> None:
    model = proto(
        """(float[N,4] x) => (float[N,2,2] y) {
            h = Gemm(x, w, b)
            y = Reshape(h, s)
        }""",
        "w 4 4, b 4",
        s=np.array([0, 2, 2]),
    )
    memory = (4 + 4) * 4  # x and h, then h and y
    assert cost(load(model)) == Cost(params=20, bytes=20 * 4 + 3 * 8, macs=16, memory=memory)


def test_half_precision_weights_have_two_bytes() -> None:
    weight = np.ones((4, 5), np.float16)
    model = proto("(float16[N,4] x) => (float16[N,5] y) { y = MatMul(x, w) }", w=weight)
    assert cost(load(model)) == Cost(params=20, bytes=40, macs=20, memory=(4 + 5) * 2)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("seed", range(2))
def test_the_cost_of_a_cut_is_that_of_the_pruned_model(name: str, seed: int) -> None:
    units = units_of(MODELS[name]())
    choose(units, seed)
    promised, real = cost_of_cut(units.cut()), cost(prune(units))
    assert (promised.params, promised.macs) == (real.params, real.macs)
    assert abs(promised.memory - real.memory) <= SMALL
    assert promised.params <= cost(units.graph).params
    assert promised.memory <= cost(units.graph).memory


def test_the_cost_of_a_cut_through_gemm_with_trans_a() -> None:
    model = proto(
        """(float[3,6] x) => (float[6,2] y) {
            a = MatMul(w0, x)
            r = Relu(a)
            y = Gemm<transA=1>(r, w1)
        }""",
        "w0 8 3, w1 8 2",
    )
    units = units_of(model)
    choose(units, 0)
    promised, real = cost_of_cut(units.cut()), cost(check_pruned(model, units, sizes=(6,)))
    assert (promised.params, promised.macs) == (real.params, real.macs)
    assert promised.macs < cost(units.graph).macs


@pytest.mark.parametrize("fraction", [0, -1, 1.01, 2, float("nan"), float("inf"), True])
def test_a_budget_out_of_range(fraction: float) -> None:
    with pytest.raises(OnnxPruneError, match="above 0 and at most 1"):
        Budget("macs", fraction)


def test_a_budget_says_what_it_is() -> None:
    assert str(Budget("ratio", 0.5)) == "0.5 of the channels"
    assert str(Budget("macs", 0.25)) == "0.25 of the MACs"
    assert str(size(1.0)) == "1 of the bytes"
    assert str(memory(0.5)) == "0.5 of the activation memory"


def _memory(body: str, shapes: str = "") -> int:
    return cost(load(proto(body, shapes))).memory


def test_memory_of_a_chain_is_the_largest_pair() -> None:
    body = """(float[N,10] x) => (float[N,5] y) {
        a = MatMul(x, w0)
        b = MatMul(a, w1)
        c = MatMul(b, w2)
        y = MatMul(c, w3)
    }"""
    assert _memory(body, "w0 10 20, w1 20 70, w2 70 30, w3 30 5") == (70 + 30) * 4


def test_a_shortcut_is_held_until_it_is_read() -> None:
    body = """(float[N,10] x) => (float[N,10] y) {
        a = Relu(x)
        b = MatMul(a, w0)
        c = Relu(b)
        d = MatMul(c, w1)
        y = Add(a, d)
    }"""
    assert _memory(body, "w0 10 20, w1 20 10") == (10 + 20 + 20) * 4


def test_outputs_stay_to_the_end() -> None:
    body = """(float[N,10] x) => (float[N,10] first, float[N,10] y) {
        first = Relu(x)
        a = Neg(x)
        b = Abs(a)
        y = Relu(b)
    }"""
    assert _memory(body) == (10 + 10 + 10) * 4


def test_what_a_graph_inside_reads_is_alive_until_then() -> None:
    body = """(float[N,10] x, bool k) => (float[N,10] y) {
        a = Neg(x)
        b = MatMul(a, w0)
        c = MatMul(b, w1)
        y = If (k) <
            then_branch = g1 () => (float[N,10] t) { t = Add(a, c) },
            else_branch = g2 () => (float[N,10] e) { e = Neg(c) }
        >
    }"""
    most = (10 + 30 + 10) * 4 + 1  # a, b, c, k
    assert _memory(body, "w0 10 30, w1 30 10") == most


def test_parts_sum_to_the_cost() -> None:
    units = units_of(MODELS["residual"]())
    choose(units, 0)
    for of in ("params", "bytes", "macs", "memory"):
        assert sum(n for _, n in parts(of, units.graph)) == getattr(cost(units.graph), of)
        left = sum(n for _, n in parts_of_cut(of, units.cut()))
        assert left == getattr(cost_of_cut(units.cut()), of)
    names = {part.name for part, _ in parts("params", units.graph)}
    assert names == {"w0", "b0", "w1", "b1", "w2"}


def test_a_budget_is_one_function() -> None:
    @budget("nodes-of-this-test")
    def widest(graph: Graph, shape_of: ShapeOf) -> Iterator[Part]:
        for node in graph.nodes:
            shape = shape_of(node.outputs[0])
            assert shape is not None
            assert shape[0].size == 1, "one sample"
            yield node, shape[1].size

    try:
        units = units_of(MODELS["chain"]())
        whole = sum(n for _, n in parts("nodes-of-this-test", units.graph))
        best_choice(units, Budget("nodes-of-this-test", 0.98))
        left = sum(n for _, n in parts_of_cut("nodes-of-this-test", units.cut()))
        assert 0.97 * whole < left <= 0.98 * whole
    finally:
        del BUDGETS._items["nodes-of-this-test"]
