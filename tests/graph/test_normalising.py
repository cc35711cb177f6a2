from __future__ import annotations

import time
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, image, run, same_answers, tensor, text_model

from onnxprune.errors import LoadError
from onnxprune.graph import load
from onnxprune.graph.fold import FOLDED
from onnxprune.graph.names import unique


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
        taken = {"a"}
        assert [unique("a", taken), unique("a", taken), unique("b", taken)] == ["a__2", "a__3", "b"]

    def test_unnamed_values_of_a_model_object_get_names(self) -> None:
        model = cnn()
        model.graph[0].outputs[0].name = None
        graph = load(model)
        assert graph.nodes[0].outputs[0].name == "Conv_0_output_0"


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


class TestFolding:
    def test_a_transposed_weight_becomes_a_weight_of_the_same_name(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,6] x) => (float[2,4] y) {
          t = Transpose <perm = [1,0]> (layer_weight)
          y = MatMul (x, t)
        }
        """
        model = text_model(text, tensor("layer_weight", 4, 6))
        graph = load(model)
        weight = graph.initializers["layer_weight"]
        assert operators(graph.model) == ["MatMul"]
        assert [dim.size for dim in graph.shape(weight) or ()] == [6, 4]
        assert weight.meta[FOLDED]
        assert not weight.metadata_props
        same_answers(model, graph.model, {"x": floats(2, 6)})

    def test_reordered_gates_of_an_lstm_become_a_weight(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[5,2,6] x) => (float[5,1,2,4] y) {
          n0 = Constant <value_ints = [0]> ()
          n4 = Constant <value_ints = [4]> ()
          n8 = Constant <value_ints = [8]> ()
          n12 = Constant <value_ints = [12]> ()
          n16 = Constant <value_ints = [16]> ()
          i = Slice (weight_ih, n0, n4)
          f = Slice (weight_ih, n4, n8)
          c = Slice (weight_ih, n8, n12)
          o = Slice (weight_ih, n12, n16)
          iofc = Concat <axis = 0> (i, o, f, c)
          w = Unsqueeze (iofc, n0)
          y = LSTM <hidden_size = 4> (x, w, r)
        }
        """
        model = text_model(text, tensor("weight_ih", 16, 6), tensor("r", 1, 16, 4))
        graph = load(model)
        assert operators(graph.model) == ["LSTM"]
        assert set(graph.initializers) == {"weight_ih", "r"}
        same_answers(model, graph.model, {"x": floats(5, 2, 6)})

    def test_a_weight_made_of_two_keeps_the_operators_name(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,4] y) { m = MatMul (a, b) y = MatMul (x, m) }
        """
        graph = load(text_model(text, tensor("a", 3, 5), tensor("b", 5, 4)))
        assert set(graph.initializers) == {"m"}

    def test_static_shape_arithmetic_disappears(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,8,4,4] x) => (float[2,128] y) {
          s = Shape (x)
          n0 = Constant <value_ints = [0]> ()
          m1 = Constant <value_ints = [-1]> ()
          b = Gather (s, n0)
          t = Concat <axis = 0> (b, m1)
          y = Reshape (x, t)
        }
        """
        model = text_model(text)
        graph = load(model)
        assert operators(graph.model) == ["Reshape"]
        assert graph.elements(graph.nodes[0].inputs[1]) is not None  # type: ignore[arg-type]
        same_answers(model, graph.model, {"x": floats(2, 8, 4, 4)})

    def test_dynamic_shape_arithmetic_stays(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch,8,-1,4] x) => (float[batch,m] y) {
          s = Shape (x)
          n0 = Constant <value_ints = [0]> ()
          m1 = Constant <value_ints = [-1]> ()
          b = Gather (s, n0)
          t = Concat <axis = 0> (b, m1)
          y = Reshape (x, t)
        }
        """
        proto = onnx.parser.parse_model(text.replace(",-1,", ",4,"))
        proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
        graph = load(proto)
        assert Counter(operators(graph.model)) == Counter(["Shape", "Gather", "Concat", "Reshape"])
        for height in (1, 5):
            same_answers(proto, graph.model, {"x": floats(3, 8, height, 4)})

    def test_identities_and_dropouts_of_inference_disappear_and_outputs_keep_their_names(
        self,
    ) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
          a = Identity (x)
          b = Relu (a)
          y = Identity (b)
          z = Identity (x)
        }
        """
        model = text_model(text)
        graph = load(model)
        assert [value.name for value in graph.outputs] == ["y", "z"]
        same_answers(model, graph.model, {"x": floats(2, 3)})

    def test_a_branch_that_is_certain_is_taken(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,3] y) {
          c = Constant <value = bool {1}> ()
          y = If (c) <
            then_branch = t () => (float[2,3] a) { a = Relu (x) },
            else_branch = e () => (float[2,3] b) { b = Neg (x) }
          >
        }
        """
        model = text_model(text)
        graph = load(model)
        assert operators(graph.model) == ["Relu"]
        same_answers(model, graph.model, {"x": floats(2, 3)})

    @pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
    def test_what_differs_between_runs_is_not_computed(self, operator: str) -> None:
        text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[4,4] x) => (float[4,4] y) {{ r = {operator} (w) y = Add (x, r) }}
        """
        graph = load(text_model(text, ir.Tensor(np.full((4, 4), 0.5, np.float32), name="w")))
        assert operators(graph.model) == [operator, "Add"]

    def test_quantised_weights_stay_quantised(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,4] y) { d = DequantizeLinear (w, s) y = MatMul (x, d) }
        """
        weight = ir.Tensor(np.arange(12, dtype=np.int8).reshape(3, 4), name="w")
        scale = ir.Tensor(np.array(0.1, np.float32), name="s")
        assert operators(load(text_model(text, weight, scale)).model)[0] == "DequantizeLinear"

    def test_weights_stored_in_half_precision_stay_small(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,300] x) => (float[2,300] y) { d = Cast <to = 1> (w) y = MatMul (x, d) }
        """
        weight = ir.Tensor(np.ones((300, 300), np.float16), name="w")
        assert operators(load(text_model(text, weight)).model) == ["Cast", "MatMul"]

    def test_a_large_weight_that_is_used_twice_is_not_doubled(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (int64[2] i) => (float[2,300] y) {
          e = Gather (w, i)
          t = Transpose (w)
          y = MatMul (e, t)
        }
        """
        graph = load(text_model(text, tensor("w", 300, 300)))
        assert "Transpose" in operators(graph.model)
        assert set(graph.initializers) == {"w"}

    @pytest.mark.parametrize(
        "lines",
        [
            "h = Expand (one, huge)",
            "h = ConstantOfShape (huge)",
            "h = Tile (one, huge)",
            "r = Range (zero, big, step) h = Unsqueeze (r, axis)",
            "p = Expand (one, wide) h = MatMul (q, p)",
        ],
    )
    def test_a_small_file_that_asks_for_huge_tensors_is_left_alone(self, lines: str) -> None:
        text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[1] y) {{
          one = Constant <value = float[1,1] {{1.0}}> ()
          huge = Constant <value_ints = [1000000000, 1000000000]> ()
          wide = Constant <value_ints = [1, 1000000000]> ()
          q = Constant <value = float[2,1] {{1.0, 1.0}}> ()
          zero = Constant <value_int = 0> ()
          big = Constant <value_int = 1000000000000> ()
          step = Constant <value_int = 1> ()
          axis = Constant <value_ints = [0]> ()
          {lines}
          s = Shape (h)
          c = Cast <to = 1> (s)
          m = ReduceMax <keepdims = 0> (c)
          k = Mul (x, m)
          y = Identity (k)
        }}
        """
        start = time.process_time()
        load(text_model(text))
        assert time.process_time() - start < 5

    def test_doubling_many_times_does_not_fill_the_memory(self) -> None:
        lines = "\n".join(f"a{i + 1} = Concat <axis = 0> (a{i}, a{i})" for i in range(60))
        text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[n] y) {{
          a0 = Constant <value = float[1] {{1.0}}> ()
          {lines}
          y = Add (x, a60)
        }}
        """
        graph = load(text_model(text))
        sizes = [v.const_value.size for v in graph.initializers.values() if v.const_value]
        assert sum(sizes) < 1 << 20

    def test_squaring_many_times_does_not_hang(self) -> None:
        lines = "\n".join(f"a{i + 1} = Mul (a{i}, a{i})" for i in range(80))
        text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,m] x) => (float[k] y) {{
          s = Shape (x)
          z = Constant <value_ints = [3]> ()
          a0 = START
          {lines}
          y = ConstantOfShape (a80)
        }}
        """
        for begin in ("Identity (s)", "Identity (z)", "Add (s, z)"):
            start = time.process_time()
            load(text_model(text.replace("START", begin)))
            assert time.process_time() - start < 10

    def test_an_operator_that_cannot_be_computed_stays(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x) => (float[2,3] y) { a = Add (w, v) y = Add (x, a) }
        """
        model = text_model(text, tensor("w", 2, 3), tensor("v", 5, 7))  # do not broadcast
        assert "Add" in operators(load(model).model)


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


def test_loading_what_was_normalised_changes_nothing() -> None:
    once = load(cnn()).model
    twice = load(once).model
    assert ir.to_onnx_text(once) == ir.to_onnx_text(twice)


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

    seconds(10)
    assert seconds(4000) < 16 * max(seconds(500), 0.05)


def test_refusals_of_normalisation_are_load_errors() -> None:
    assert issubclass(LoadError, Exception)
    assert run(load(cnn()).model, image())[0].shape == (2, 5)
