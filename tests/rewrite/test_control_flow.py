"""Graphs inside nodes: labels go in, from turn to turn, and out; their weights are sliced."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import small_control as small
from helpers import choose, close, feeds_of, proto, run, to_proto, units_of, zeroed
from onnx.numpy_helper import from_array

from onnxprune.graph import load
from onnxprune.report import explain
from onnxprune.rewrite import prune
from onnxprune.verification import Verifier


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_either_branch(flag: bool, seed: int) -> None:
    model = small.branches()
    units = units_of(model)
    choose(units, seed)
    pruned = prune(units)
    feeds = {**feeds_of(model), "flag": np.array([flag])}
    close(run(to_proto(pruned), feeds), run(zeroed(units.graph, pruned), feeds))
    kept = int(units.mutable[1].mask.sum())
    assert kept < 8
    assert [pruned.initializers[name].shape[0] for name in ("wt", "we")] == [kept, kept]


def test_branches_that_do_not_agree_say_so() -> None:
    reasons = {str(unit.why_not) for unit in units_of(small.unequal_branches())}
    assert "If 'If_1': what its graphs give does not agree" in reasons


@pytest.mark.torch
@pytest.mark.parametrize("make", [small.loop, small.scan, small.nested])
def test_missing_entries_in_torch_agree(make: object) -> None:
    pytest.importorskip("torch")
    units = units_of(make())  # type: ignore[operator]
    verifier = Verifier(units)
    for seed in range(3):
        choose(units, seed)
        verdict = verifier.verify(prune(units), "torch")
        assert verdict.passed, verdict.problems


def _inside(model: onnx.ModelProto, moved: dict[str, str]) -> onnx.ModelProto:
    """The model with some weights moved into the branches of its If, under other names."""
    (node,) = (n for n in model.graph.node if n.op_type == "If")
    graphs = {a.g.name: a.g for a in node.attribute}
    weights = {t.name: t for t in model.graph.initializer}
    for name, graph in moved.items():
        tensor = weights[name]
        model.graph.initializer.remove(tensor)
        array = onnx.numpy_helper.to_array(tensor)
        graphs[graph].initializer.append(from_array(array, "w"))
        for inner in graphs[graph].node:
            inner.input[:] = ["w" if read == name else read for read in inner.input]
    return model


def test_weights_inside_branches_are_sliced() -> None:
    """Both are called ``w``; in the main graph each needs a name of its own."""
    whole = small.branches()
    model = _inside(small.branches(), {"wt": "g", "we": "h"})
    graph = load(model)
    assert {"w__2", "w__3"} <= set(graph.initializers)
    for flag in (False, True):
        feeds = {**feeds_of(whole), "flag": np.array([flag])}
        close(run(to_proto(graph), feeds), run(whole, feeds))
    units = units_of(model)
    assert [unit.num_channels for unit in units.mutable] == [6, 8]
    choose(units, 0)
    verdict = Verifier(units).verify(prune(units))
    assert verdict.passed, verdict.problems


def test_a_weight_that_a_branch_hands_out_stays_inside() -> None:
    model = proto(
        """(float[N,4] x, bool flag) => (float[N,2] y) {
            a = MatMul(x, w0)
            b = If(flag) <
                then_branch = g () => (float[8] t) { t = Constant<value_floats=[1.0, 2.0, 3.0, 4.0,
                    5.0, 6.0, 7.0, 8.0]>() },
                else_branch = h () => (float[8] e) { e = Identity(other) }
            >
            c = Add(a, b)
            y = MatMul(c, w1)
        }""",
        "w0 4 8, other 8, w1 8 2",
    )
    units = units_of(model)
    assert units.mutable == []
    assert "Constant" in " ".join(str(unit.why_not) for unit in units)


def test_the_graph_of_a_loop_that_does_not_fit_it() -> None:
    model = small.loop()
    (node,) = (n for n in model.graph.node if n.op_type == "Loop")
    del node.input[2]
    units = units_of(model)
    assert units.mutable == []
    assert "another number of inputs or outputs" in " ".join(str(u.why_not) for u in units)


def test_shapes_that_the_graphs_declare_follow() -> None:
    units = units_of(small.scan())
    choose(units, 1)
    pruned = to_proto(prune(units))
    onnx.checker.check_model(pruned, full_check=True)
    (node,) = (n for n in pruned.graph.node if n.op_type == "Scan")
    (body,) = (a.g for a in node.attribute if a.name == "body")
    declared = [v.type.tensor_type.shape.dim for v in (*body.input, *body.output)]
    assert 8 not in {dim.dim_value for dims in declared for dim in dims}
    assert 3 in {dim.dim_value for dims in declared for dim in dims}, "the others stay"


def test_results_whose_shape_nobody_finds_out_stay_declared() -> None:
    """Of the results of a Scan's graph onnxruntime wants the rank."""
    model = proto(
        """(float[3,N,4] x, float[N,1] first) => (float[N,2] y, float[3,N,4] all) {
            last, all = Scan(first, x) <
                num_scan_inputs = 1,
                body = g (float[A,B] s, float[N,4] e) => (float[N,1] n, float[K,L] o) {
                    n = ReduceSum(e, axis)
                    o = Loop(steps, yes, e) <
                        body = l (int64 i, bool go, float[N,4] t) => (bool on, float[C,D] r) {
                            on = Identity(go)
                            r = Add(t, s)
                        }
                    >
                }
            >
            a = MatMul(last, w0)
            y = MatMul(a, w1)
        }""",
        "w0 1 6, w1 6 2",
        axis=np.array([1]),
        steps=np.array(2),
        yes=np.array(True),
    )
    units = units_of(model)
    close(run(to_proto(units.graph), feeds_of(model)), run(model, feeds_of(model)))
    assert [unit.num_channels for unit in units.mutable] == [6]
    choose(units, 0)
    verdict = Verifier(units).verify(prune(units))
    assert verdict.passed, verdict.problems


def test_a_branch_that_hands_out_something_empty() -> None:
    """As decoders do for a cache that they do not need."""
    model = proto(
        """(float[N,4] x, bool flag) => (float[N,2] y, float[M,8] z) {
            a = MatMul(x, w0)
            y = MatMul(a, w1)
            z = If(flag) <
                then_branch = g () => (float[0,8] t) { t = Identity(nothing) },
                else_branch = h () => (float[N,8] e) { e = MatMul(a, we) }
            >
        }""",
        "w0 4 6, w1 6 2, we 6 8",
        nothing=np.zeros((0, 8), np.float32),
    )
    units = units_of(_inside_out(model))
    assert [unit.num_channels for unit in units.mutable] == [6]
    choose(units, 0)
    verdict = Verifier(units, {**feeds_of(model), "flag": np.array(False)}).verify(prune(units))
    assert verdict.passed, verdict.problems


def _inside_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The empty tensor is the branch's own, and its result."""
    (node,) = (n for n in model.graph.node if n.op_type == "If")
    (branch,) = (a.g for a in node.attribute if a.name == "then_branch")
    del branch.node[:]
    branch.initializer.append(from_array(np.zeros((0, 8), np.float32), "t"))
    return model


def test_a_node_with_graphs_is_explained() -> None:
    assert explain(units_of(small.branches()), "If_2")[1] == "  labels flow through its graphs"
