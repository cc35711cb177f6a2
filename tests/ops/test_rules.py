"""Rules where a name alone does not tell the opset, and nodes that are not what they should be."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import choose, ints, proto, units_of

from onnxprune.axes import Barred, Rule
from onnxprune.graph import load
from onnxprune.ops import macs_of, operator_name, rules_for
from onnxprune.rewrite import prune


def rule_of(model: onnx.ModelProto, operator: str) -> Rule | Barred:
    """The rule of the only node of an operator."""
    graph = load(model)
    (node,) = (node for node in graph.model.graph if node.op_type == operator)
    return rules_for(graph)(node)


def sentence(body: str, shapes: str = "", opset: int = 21, **weights: object) -> str:
    """The sentence of the first operator in the text."""
    operator = body.split("= ")[1].split("(")[0].split("<")[0].strip()
    rule = rule_of(proto(body, shapes, opset, **weights), operator)
    assert isinstance(rule, Rule), rule
    return str(rule.parsed)


SENTENCES = {
    "(float[N,4,8,8] x) => (float[N,6,6,6] y) { y = Conv(x, w) }": (
        "n (g c) ..., (g o) c ..., (g o) -> n (g o) ..."
    ),
    "(float[N,4] x) => (float[N,6] y) { y = Gemm<transB=1>(x, v, b) }": "m k, n k, n -> m n",
    "(float[4,N] x) => (float[N,6] y) { y = Gemm<transA=1>(x, u) }": "k m, k n -> m n",
    "(float[N,1,5,4] x) => (float[N,3,5,6] y) { y = MatMul(x, t) }": (
        "p0 1 m k, p1 k n -> p0 p1 m n"
    ),
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Add(x, b4) }": "a b c, b 1 -> a b c",
    "(float[N,4] x, float[M,4] z) => (float[K,4] y) { y = Mul(x, z) }": "_ b, _ b -> _ b",
    "(float[N,4,8] x) => (float[N,8,4] y) { y = Transpose<perm=[0,2,1]>(x) }": "a b c -> a c b",
    "(float[N,4,8] x) => (float[N,32] y) { y = Reshape(x, s32) }": "f0 f1 f2 -> f0 (f1 f2)",
    "(float[N,12,8] x) => (float[N,3,4,8] y) { y = Reshape(x, s348) }": (
        "f0 (f1 f2) f3 -> f0 f1 f2 f3"
    ),
    "(float[4,6] x) => (float[6,4] y) { y = Reshape(x, s64) }": "_ _ -> _ _",
    "(float[N,4,8] x) => (float[N,3] y) { y = ReduceMax<keepdims=0>(x, one) }": "a b! c -> a c",
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Softmax(x) }": "a b c! -> a b c",
    "(float[N,4,8] x) => (float[N,4,8] y) { y = LayerNormalization<axis=1>(x, w48) }": (
        "a b! c!, b c -> a b c"
    ),
    "(float[N,4,8] x) => (int64[3] y) { y = Shape(x) }": "~ ~ ~ -> _",
}

WEIGHTS = "w 6 4 3 3, v 6 4, b 6, u 4 6, t 3 4 6, b4 4 1, w48 4 8"
NUMBERS = {"s32": ints(0, -1), "s348": ints(-1, 3, 4, 8), "s64": ints(6, 4), "one": ints(1)}


@pytest.mark.parametrize("body", SENTENCES)
def test_sentences(body: str) -> None:
    assert sentence(body, WEIGHTS, **NUMBERS) == SENTENCES[body]


def test_softmax_before_opset_13_is_over_all_that_follows() -> None:
    body = "(float[N,4,8] x) => (float[N,4,8] y) { y = Softmax(x) }"
    assert sentence(body, opset=12) == "a b! c! -> a b c"


def test_operators_of_other_domains_are_not_those_of_onnx() -> None:
    body = "(float[N,4] x) => (float[N,4] y) { y = com.acme.Relu(x) }"
    graph = load(proto(body))
    (node,) = graph.model.graph
    assert operator_name(node) == "com.acme::Relu"
    assert rules_for(graph)(node) == Barred("no rule for the operator com.acme::Relu")


STRANGE = [
    "y = Conv<group=0>(x, w4)",
    "y = Conv<group=-1>(x, w4)",
    "y = Conv<group=3>(x, w4)",
    'y = Conv<group="4">(x, w4)',
    "y = Conv<group=1.0>(x, w4)",
    "y = Conv<group=[1]>(x, w4)",
    "y = Conv(x)",
    "y = Conv(, w4)",
    "y = Conv(x, w4, w4)",
    "y = Conv(x, w4, none)",
    "y = Concat(x, w4)",
    "y = Concat<axis=9>(x, x)",
    "y = Concat<axis=1>(x, , x)",
    "y = Concat<axis=1>()",
    "y = Transpose<perm=[0,1]>(x)",
    "y = Transpose<perm=[0,0,0,9]>(x)",
    "y = Slice(x)",
    "y = Slice(x, one, one, one, one, one, one)",
    "y = Slice(x, one, two, one, zero)",
    "y = Slice(x, one, many, many)",
    "y = Split<axis=7>(x)",
    "y, z = Split<axis=1>(x, huge)",
    "y = Pad(x)",
    "y = Pad(x, huge)",
    "y = Pad(x, one)",
    "y = Gather<axis=8>(x, one)",
    "y = Gather<axis=1>(x, huge)",
    "y = Gather(x)",
    "y = Reshape(x)",
    "y = Reshape(x, huge)",
    "y = Reshape(x, w4)",
    "y = Expand(x, huge)",
    "y = Expand(x)",
    "y = Squeeze(x, huge)",
    "y = Unsqueeze(x, huge)",
    "y = Flatten<axis=9>(x)",
    "y = Resize(x, , , huge)",
    "y = Resize<axes=[9]>(x, , w1)",
    "y = Resize(x, , w1)",
    "y = MatMul(x, one)",
    "y = MatMul(x)",
    "y = Gemm(x, x, x)",
    "y = BatchNormalization(x, w1, w1)",
    "y = LayerNormalization<axis=9>(x, w1)",
    "y = LayerNormalization(x, w4, w4)",
    "y = Softmax<axis=17>(x)",
    "y = ReduceSum(x, huge)",
    "y = ReduceMean(x, w1)",
    "y = Shape<start=99, end=-99>(x)",
    "y = Shape(one)",
    "y = MaxPool(x)",
    "y = Relu(none)",
    "y = Relu()",
    "y = Where(x)",
    "y = CastLike(x)",
    "y = PRelu(x, huge)",
    "y = LpNormalization<axis=9>(x)",
    "y = Add(x, empty)",
]


@pytest.mark.parametrize("node", STRANGE)
@pytest.mark.parametrize("declared", ["float[N,8,4,4]", "float[N,M]", "float"])
def test_a_node_that_is_not_what_it_should_be_is_a_barrier_at_most(
    node: str, declared: str
) -> None:
    """Nothing but units comes out of finding units, whatever the file says."""
    made = f"(float[N,3,4,4] i) => ({declared} y) {{ x = Conv(i, w0) {node} }}"
    units = units_of(
        proto(
            made,
            "w0 8 3 1 1, w4 8 2 1 1, w1 4",
            **{"zero": ints(0), "one": ints(1), "two": ints(2), "many": ints(1, 2, 3)},
            **{"huge": ints(2**62, -(2**62)), "none": np.zeros((), np.float32)},
            empty=np.zeros(0, np.float32),
        )
    )
    for n in units.graph.model.graph:
        assert macs_of(n, units.graph) >= 0
    units.prunable_share()
    choose(units, 0)
    prune(units)
