"""One pass over a graph with rules of one's own: what a sentence can do to labels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from helpers import proto

from onnxprune.axes import Barred, Labels, Rule, propagate
from onnxprune.graph import load


def labels_of(body: str, shapes: str, rules: dict[str, Rule | Barred]) -> Labels:
    """Label a graph whose operators mean what is said here."""

    def rule_of(node: ir.Node) -> Rule | Barred:
        return rules.get(node.op_type, Barred(f"no rule for {node.op_type}"))

    return propagate(load(proto(body, shapes)), rule_of)


def alive(labels: Labels, name: str) -> dict[int, list[bool]]:
    """Axis -> which of its indices may go."""
    value = next(value for value in labels.axes if value.name == name)
    return {axis: mask.tolist() for axis, mask in labels.living(value)}


def reasons(labels: Labels) -> set[str]:
    return {barrier.reason for barrier in labels.barriers}


MATMUL = Rule("m k, k n -> m n")
TWO = "(float[N,3] x) => (float[N,2] y) { h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) }"
SHAPES = "w0 3 4, w1 4 2"


def test_labels_flow_through_a_rule() -> None:
    labels = labels_of(TWO, SHAPES, {"MatMul": MATMUL, "Relu": Rule("a b -> a b")})
    assert alive(labels, "w0") == {1: [True] * 4}
    assert alive(labels, "r") == {1: [True] * 4}
    assert alive(labels, "w1") == {0: [True] * 4}


def test_a_barrier_freezes_its_inputs_and_what_reads_its_results() -> None:
    labels = labels_of(TWO, SHAPES, {"MatMul": MATMUL, "Relu": Barred("it is strange")})
    assert all(not alive(labels, name) for name in ("w0", "w1", "h", "r"))
    assert "it is strange" in reasons(labels)


def test_a_sentence_that_does_not_fit_is_a_barrier_that_quotes_it() -> None:
    for sentence in ("a -> a", "a b c -> a", "(a 3) b -> a b", "a b -> b a", "a b -> a"):
        labels = labels_of(TWO, SHAPES, {"MatMul": MATMUL, "Relu": Rule(sentence)})
        assert not alive(labels, "w0")
        assert not alive(labels, "w1")


def test_an_operand_that_the_sentence_does_not_reach_stays_whole() -> None:
    body = "(float[N,3] x) => (float[N,4] y) { h = MatMul(x, w0) y = Add(h, w1) }"
    labels = labels_of(body, "w0 3 4, w1 4", {"MatMul": MATMUL, "Add": Rule("a b -> a b")})
    assert not alive(labels, "w1")
    assert "its input 1 always stays whole" in reasons(labels)


def test_a_result_that_the_sentence_does_not_reach_is_a_barrier() -> None:
    body = """(float[N,3] x) => (float[N,4] y, float[N,4] z) {
        h = MatMul(x, w0)
        y, z = Split<axis=1, num_outputs=2>(h)
    }"""
    labels = labels_of(body, "w0 3 8", {"MatMul": MATMUL, "Split": Rule("a b -> a b[0:4]")})
    assert not alive(labels, "w0")
    assert "nothing is known of its result 1" in reasons(labels)


def test_sums_in_operands() -> None:
    """The parts of a direct sum, read from an operand, written in another order."""
    body = "(float[N,3] x) => (float[N,2] y) { h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) }"
    rules = {"MatMul": MATMUL, "Relu": Rule("n (a + b + 1) -> n (b + a + 1)", sizes={"a": 4})}
    labels = labels_of(body, "w0 3 8, w1 8 2", rules)
    assert alive(labels, "w0") == {1: [True] * 7 + [False]}
    first = labels.axes[labels.graph.initializers["w0"]][1][0].label
    second = labels.axes[labels.graph.initializers["w1"]][0][0].label
    assert first is not None
    assert second is not None
    order = [4, 5, 6, 0, 1, 2, 3, 7]
    assert np.array_equal(labels.resolved(first)[order], labels.resolved(second))


def test_picks_repeat_and_reverse() -> None:
    for pick, order in (("b[::-1]", [3, 2, 1, 0]), ("b[i]", [0, 0, 2, 1])):
        rule = Rule(f"a b -> a {pick}", indices={"i": np.array([0, 0, 2, 1])})
        labels = labels_of(TWO, SHAPES, {"MatMul": MATMUL, "Relu": rule})
        first = labels.axes[labels.graph.initializers["w0"]][1][0].label
        second = labels.axes[labels.graph.initializers["w1"]][0][0].label
        assert first is not None
        assert second is not None
        assert np.array_equal(labels.resolved(first)[order], labels.resolved(second))


def test_a_free_axis_ties_nothing() -> None:
    body = "(float[N,3] x) => (int64[2] z) { h = MatMul(x, w0) z = Shape(h) }"
    labels = labels_of(body, "w0 3 4", {"MatMul": MATMUL, "Shape": Rule("~ ~ -> _")})
    assert alive(labels, "w0") == {1: [True] * 4}


COPIES = """(float[N,3] x) => (float[N,2] y) {
    h = MatMul(x, w0) g = Relu(h) e = Expand(g, s) k = MatMul(x, w1) m = Mul(e, k) y = MatMul(m, w2)
}"""
COPY_RULES: dict[str, Rule | Barred] = {
    "MatMul": MATMUL,
    "Relu": Rule("a 1 -> a 1"),
    "Expand": Rule("a 1 -> a ~", reason="how many is not known"),
    "Mul": Rule("a b, a b -> a b"),
}


def test_copies_are_as_many_as_what_they_meet() -> None:
    model = proto(COPIES, "w0 3 1, w1 3 4, w2 4 2", s=np.array([1, 4]))
    labels = propagate(load(model), lambda node: COPY_RULES[node.op_type])
    assert alive(labels, "w1") == {1: [True] * 4}
    copies, others = (
        next(axes for value, axes in labels.axes.items() if value.name == name)[1][0].label
        for name in ("e", "k")
    )
    assert copies is not None
    assert others is not None
    assert np.array_equal(labels.resolved(copies), labels.resolved(others))


def test_copies_that_are_counted_stay() -> None:
    """A sum of copies tells how many there are, wherever else they are tied to channels."""
    counted = "r = ReduceSum<keepdims=1>(e, one) z = MatMul(m, w2) y = Add(z, r)"
    body = COPIES.replace("y = MatMul(m, w2)", counted)
    model = proto(body, "w0 3 1, w1 3 4, w2 4 2", s=np.array([1, 4]), one=np.array([1]))
    rules = COPY_RULES | {"ReduceSum": Rule("a b! -> a 1"), "Add": Rule("a b, a 1 -> a b")}
    labels = propagate(load(model), lambda node: rules[node.op_type])
    assert not alive(labels, "w1")
    assert "its result depends on how many copies it is given" in reasons(labels)


def test_copies_of_a_dynamic_number_stay() -> None:
    body = "(float[N,3] x, int64[2] s) => (float[N,K] y) { h = MatMul(x, w0) y = Expand(h, s) }"
    labels = propagate(load(proto(body, "w0 3 1")), lambda node: COPY_RULES[node.op_type])
    assert not alive(labels, "y")
    assert "how many is not known" in reasons(labels)


def test_an_axis_that_is_too_long_is_not_tracked() -> None:
    body = "(float[N,3] x) => (float[N,M] y) { h = MatMul(x, w0) y = Pad(h, p) }"
    model = proto(body, "w0 3 4", p=np.array([0, 0, 0, 2**40]))
    labels = propagate(
        load(model), lambda node: MATMUL if node.op_type == "MatMul" else Rule("a b -> a (b + _)")
    )
    assert not alive(labels, "w0")


def test_integers_are_no_channels() -> None:
    body = "(float[N,3] x) => (float[N,4] y) { h = MatMul(x, w0) c = Cast<to=1>(i) y = Add(h, c) }"
    model = proto(body, "w0 3 4", i=np.arange(4) + 2**30)
    rules = {"MatMul": MATMUL, "Cast": Rule("a -> a"), "Add": Rule("a b, b -> a b")}
    labels = propagate(load(model), lambda node: rules[node.op_type])
    assert not alive(labels, "w0")


def test_long_chains_of_equal_atoms_are_quick() -> None:
    """An axis that is its own shift has one atom; finding that out takes few steps."""
    atoms = labels_of(TWO, SHAPES, {"MatMul": MATMUL}).atoms
    label = atoms.fresh(200_000).reshape(-1, 1)
    atoms.unify(label[1:], label[:-1], 1)
    assert len(np.unique(atoms.resolve(label))) == 1
