from __future__ import annotations

import time

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, floats, image, operators, same_answers, tensor, text_model
from small_control import loop

from onnxprune.graph import load
from onnxprune.graph.names import Namer
from onnxprune.units import find_units


class TestNames:
    def test_unnamed_nodes_are_called_after_their_operator_and_position(self) -> None:
        names = [str(node.name) for node in load(cnn()).nodes]
        assert names[0] == "Conv_0"
        assert names[2] == "Conv_2"
        assert len(set(names)) == len(names)

    def test_names_that_are_there_stay_and_repeated_ones_get_a_suffix(self) -> None:
        proto = ir.to_proto(cnn())
        for node, name in zip(
            proto.graph.node, ["a", "b", "a", "b", "", "a", "Add_3"], strict=True
        ):
            node.name = name
        names = [node.name for node in load(proto).nodes]
        assert names == ["a", "b", "a__2", "b__2", "GlobalAveragePool_4", "a__3", "Add_3"]

    def test_a_made_up_name_never_collides_with_a_given_one(self) -> None:
        proto = ir.to_proto(cnn())
        proto.graph.node[5].name = "Conv_0"
        names = [node.name for node in load(proto).nodes]
        assert names[0] == "Conv_0__2"
        assert len(set(names)) == len(names)

    def test_a_unique_name_is_taken_at_once(self) -> None:
        namer = Namer(["a", "a__3"])
        assert [namer.unique(name) for name in "aaabb"] == ["a__2", "a__4", "a__5", "b", "b__2"]

    def test_unnamed_values_of_a_model_object_get_names(self) -> None:
        model = cnn()
        model.graph[0].outputs[0].name = None
        graph = load(model)
        names = [value.name for node in graph.nodes for value in node.outputs]
        assert all(names)
        assert len(set(names)) == len(names)


class TestConstants:
    def test_every_kind_of_constant_becomes_an_initializer(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x) => (float[4] y, int64[2] z) {
          a = Constant <value = float[4] {1.0,2.0,3.0,4.0}> ()
          b = Constant <value_float = 2.0> ()
          c = Constant <value_floats = [1.0,2.0,3.0,4.0]> ()
          d = Constant <value_int = 3> ()
          e = Constant <value_ints = [1,2]> ()
          f = Add (x, a)
          h = Mul (f, b)
          y = Add (h, c)
          z = Add (d, e)
        }
        """
        model = text_model(text)
        graph = load(model)
        assert "Constant" not in operators(graph.model)
        assert set(graph.initializers) == {"a", "b", "c", "d", "e"}
        same_answers(model, graph.model, {"x": floats(4)})

    def test_a_constant_that_is_an_output_stays(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y, float[2] k) {
          k = Constant <value = float[2] {1.0,2.0}> ()
          y = Add (x, k)
        }
        """
        graph = load(text_model(text))
        assert sorted(operators(graph.model)) == ["Add", "Constant"]
        same_answers(text_model(text), graph.model, {"x": floats(2)})

    def test_constants_of_branches_become_initializers_of_the_branch(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2] x) => (float[2] y) {
          y = If (c) <
            then_branch = t () => (float[2] a) {
              k = Constant <value = float[2] {1.0,2.0}> ()
              a = Add (x, k)
            },
            else_branch = e () => (float[2] b) { b = Neg (x) }
          >
        }
        """
        model = text_model(text)
        graph = load(model)
        assert [node.op_type for node in graph.model.graph.all_nodes()].count("Constant") == 0
        for chosen in (True, False):
            same_answers(model, graph.model, {"c": np.array(chosen), "x": floats(2)})

    def test_initializers_are_no_inputs_and_the_ir_version_allows_it(self) -> None:
        proto = ir.to_proto(cnn(8))
        proto.ir_version = 3
        for item in proto.graph.initializer:
            proto.graph.input.append(
                onnx.helper.make_tensor_value_info(item.name, item.data_type, item.dims)
            )
        graph = load(proto)
        assert [value.name for value in graph.inputs] == ["x"]
        assert graph.model.ir_version == 4
        same_answers(cnn(8), graph.model, image())

    def test_a_newer_ir_version_stays(self) -> None:
        assert load(cnn()).model.ir_version == 8


class TestUnsharing:
    def test_each_use_of_a_shared_bias_gets_its_own_copy(self) -> None:
        model = load(cnn()).model
        first, second = (node for node in model.graph if node.op_type == "Conv")
        assert (first.inputs[2].name, second.inputs[2].name) == ("b", "b__2")  # type: ignore[union-attr]
        same_answers(cnn(), model, image())

    def test_two_uses_by_one_node_count_as_two(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,4,2,2] x) => (float[1,4,2,2] y) { y = BatchNormalization (x, s, b, b, s) }
        """
        one = ir.Tensor(np.ones(4, np.float32), name="s")
        model = text_model(text, one, tensor("b", 4))
        graph = load(model)
        names = [value.name for value in graph.nodes[0].inputs if value is not None]
        assert names == ["x", "s", "b", "b__2", "s__2"]
        same_answers(model, graph.model, {"x": floats(1, 4, 2, 2)})

    def test_a_matrix_of_equal_elements_is_shared_by_chance(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[3,4] x) => (float[3,4] y) { a = Add (x, z) y = Mul (a, z) }
        """
        model = text_model(text, ir.Tensor(np.full((3, 4), 2, np.float32), name="z"))
        graph = load(model)
        assert set(graph.initializers) == {"z", "z__2"}
        same_answers(model, graph.model, {"x": floats(3, 4)})

    def test_matrices_and_integers_stay_shared(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3,3] x) => (float[n,m,k] y) {
          a = MatMul (x, w)
          b = MatMul (a, w)
          c = Gather (b, i)
          y = Gather <axis = 1> (c, i)
        }
        """
        index = ir.Tensor(np.array([0, 1]), name="i")
        graph = load(text_model(text, tensor("w", 3, 3), index))
        assert set(graph.initializers) == {"w", "i"}

    def test_a_copy_does_not_take_a_name_that_is_taken(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x) => (float[4] y) { b__2 = Add (x, b) c = Relu (b__2) y = Add (c, b) }
        """
        assert set(load(text_model(text, tensor("b", 4))).initializers) == {"b", "b__3"}


class TestInlining:
    TEXT = """
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2,3] x) => (float[2,3] y) { a = f.twice (x) y = f.twice (a) }
    <domain: "f", opset_import: ["" : OPSET]>
    twice (a) => (c) { k = Constant <value = float {2.0}> () b = Mul (a, k) c = Relu (b) }
    """

    def test_functions_are_replaced_by_their_bodies(self) -> None:
        model = text_model(self.TEXT.replace("OPSET", "17"))
        graph = load(model)
        assert operators(graph.model) == ["Mul", "Relu", "Mul", "Relu"]
        assert not graph.model.functions
        assert len({node.name for node in graph.nodes}) == 4
        same_answers(model, graph.model, {"x": floats(2, 3)})

    def test_a_function_of_another_opset_stays_a_call(self) -> None:
        model = text_model(self.TEXT.replace("OPSET", "16"))
        graph = load(model)
        assert operators(graph.model) == ["twice", "twice"]
        same_answers(model, graph.model, {"x": floats(2, 3)})


class TestSweeping:
    def test_what_no_output_needs_is_removed(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x, float[3] unused) => (float[2,3] y) {
          y = Relu (x)
          a = MatMul (x, w)
          b = Relu (a)
        }
        """
        graph = load(text_model(text, tensor("w", 3, 3)))
        assert operators(graph.model) == ["Relu"]
        assert not graph.initializers
        assert [value.name for value in graph.inputs] == ["x", "unused"]

    def test_a_dead_branch_lets_go_of_what_it_used(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2] x) => (float[2] y) {
          y = Relu (x)
          k = Neg (x)
          z = If (c) <
            then_branch = t () => (float[2] a) { a = Add (k, k) },
            else_branch = e () => (float[2] b) { b = Neg (k) }
          >
        }
        """
        assert operators(load(text_model(text)).model) == ["Relu"]

    def test_a_dead_loop_lets_go_of_what_a_branch_in_it_used(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (int64 n, bool c, float[2] x) => (float[2] y) {
          y = Relu (x)
          z = Loop (n, c, x) <
            body = l (int64 i, bool on, float[2] s) => (bool go, float[2] r) {
              go = Identity (on)
              k = Neg (s)
              r = If (c) <
                then_branch = t () => (float[2] a) { a = Add (k, k) },
                else_branch = e () => (float[2] b) { b = Neg (k) }
              >
            }
          >
        }
        """
        assert operators(load(text_model(text)).model) == ["Relu"]

    def test_what_only_a_branch_uses_stays(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2] x) => (float[2] y) {
          k = Neg (x)
          y = If (c) <
            then_branch = t () => (float[2] a) { a = Add (k, w) },
            else_branch = e () => (float[2] b) { b = Neg (x) }
          >
        }
        """
        model = text_model(text, tensor("w", 2))
        graph = load(model)
        assert operators(graph.model) == ["Neg", "If"]
        same_answers(model, graph.model, {"c": np.array(True), "x": floats(2)})


class TestStates:
    """Of the state of a loop, where it does not keep the shape that it starts with."""

    TEXT = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,4] x, int64 n, bool c) => (float[M,4] y, int64[1] z) {
          y, z = Loop (n, c, x, none) <
            body = l (int64 i, bool on, float[A,B] h, int64[1] s) =>
                (bool go, float[C,D] r, int64[1] t) {
              go = Identity (on)
              r = Concat <axis = 0> (h, h)
              rows = Shape <end = 1> (h)
              t = If (on) <
                then_branch = a () => (int64[1] p) { p = Add (s, rows) },
                else_branch = b () => (int64[1] q) { q = Identity (rows) }
              >
            }
          >
        }
        """

    @pytest.mark.parametrize("declared", [None, (2, 8), (2, 4)])
    def test_nothing_is_computed_from_a_shape_that_changes(
        self, declared: tuple[int, ...] | None
    ) -> None:
        model = ir.to_proto(text_model(self.TEXT, ir.tensor(np.array([0]), name="none")))
        (body,) = (a.g for a in model.graph.node[0].attribute)
        shape = body.input[2].type.tensor_type.shape
        body.output[1].type.tensor_type.ClearField("shape")
        if declared is None:
            body.input[2].type.tensor_type.ClearField("shape")
        for dim, size in zip(shape.dim, declared or (), strict=False):
            dim.dim_value = size
        feeds = {"x": floats(2, 4), "n": np.array(3), "c": np.array(True)}
        same_answers(model, load(model).model, feeds)


def test_loading_what_was_normalised_changes_nothing() -> None:
    once = load(cnn()).model
    twice = load(once).model
    assert ir.to_onnx_text(once) == ir.to_onnx_text(twice)


def test_the_long_name_of_the_standard_domain_is_understood() -> None:
    proto = ir.to_proto(cnn())
    proto.opset_import[0].domain = "ai.onnx"
    graph = load(proto)
    assert graph.opset() == 17
    same_answers(cnn(), graph.model, image())


def test_inputs_and_weights_may_be_outputs() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2] x) => (float[2] x, float[2] w, float[2] y) { y = Add (x, w) }
    """
    model = text_model(text, tensor("w", 2))
    graph = load(model)
    assert [value.name for value in graph.outputs] == ["x", "w", "y"]
    same_answers(model, graph.model, {"x": floats(2)})


def test_long_chains_load_in_linear_time() -> None:
    def seconds(count: int) -> float:
        lines = "\n".join(f"a{i + 1} = Relu (a{i})" for i in range(count))
        text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x) => (float[n,4] y) {{ a0 = Add (x, b) {lines} y = Add (a{count}, b) }}
        """
        model = text_model(text, tensor("b", 4))
        start = time.process_time()
        load(model)
        return time.process_time() - start

    few, many = (min(seconds(count) for _ in range(2)) for count in (500, 4000))
    assert many < 8 * 4 * few


def test_a_loop_without_a_condition_is_one_with_a_true_one() -> None:
    """The input is optional."""
    plain, bare = loop(), loop()
    (node,) = (node for node in bare.graph.node if node.op_type == "Loop")
    node.input[1] = ""
    found, wanted = find_units(load(bare)), find_units(load(plain))
    assert [str(unit) for unit in found.mutable] == [str(unit) for unit in wanted.mutable]
    assert found.mutable
    same_answers(bare, found.graph.model, {"x": floats(2, 5, 3)})
