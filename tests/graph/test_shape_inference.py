from __future__ import annotations

import json
import logging

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import cnn, tensor, text_model

from onnxprune.graph import Dim, Graph, Source, load, with_shapes
from onnxprune.graph.shapes import all_values, infer


def graph_of(text: str, *tensors: ir.TensorProtocol) -> Graph:
    """Shapes of a model as it is, not normalised."""
    return with_shapes(text_model(text, *tensors), Source(None, ""))


def shapes(graph: Graph) -> dict[str, list[str] | None]:
    """The shape of each computed value, as text."""
    result: dict[str, list[str] | None] = {}
    for value in all_values(graph.model):
        dims = graph.shape(value)
        result[str(value.name)] = None if dims is None else [str(dim) for dim in dims]
    return result


def elements(graph: Graph, name: str) -> list[str] | None:
    """The elements of a value, as text."""
    for value in all_values(graph.model):
        if value.name == name:
            items = graph.elements(value)
            return None if items is None else [str(item) for item in items]
    raise KeyError(name)


class TestDeclaredShapes:
    def test_the_same_symbol_means_the_same_size(self) -> None:
        graph = load(cnn())
        (batch, *_), (out, _) = (graph.shape(v) or () for v in graph.inputs + graph.outputs)
        assert batch == out
        assert batch.symbol == "batch"

    def test_names_that_are_no_identifiers_are_made_identifiers(self) -> None:
        proto = ir.to_proto(cnn())
        for info in (proto.graph.input[0], proto.graph.output[0]):
            info.type.tensor_type.shape.dim[0].dim_param = "batch-size é(1)"
        graph = load(proto)
        assert str((graph.shape(graph.outputs[0]) or ())[0]) == "batch_size_1"

    def test_sums_and_products_of_declared_symbols_are_understood(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[past,4] x, float[now,4] y) => (float[n,4] z) { z = Concat <axis = 0> (x, y) }
        """
        proto = onnx.parser.parse_model(text)
        proto.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "2*past + 1"
        graph = load(proto)
        assert shapes(graph)["z"] == ["3*past + 1", "4"]

    @pytest.mark.parametrize("text", ["9**9**9**9", "a" * 5000, "(" * 90, "0/0", "a.b.c", "-", "?"])
    def test_nonsense_is_a_symbol_like_any_other(self, text: str) -> None:
        proto = ir.to_proto(cnn())
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = text
        graph = load(proto)
        (batch, *_) = graph.shape(graph.inputs[0]) or ()
        assert batch.dynamic
        assert graph.shape(graph.outputs[0]) == (batch, Dim(5))

    def test_unnamed_and_negative_dimensions_are_called_after_their_input(self) -> None:
        proto = ir.to_proto(cnn())
        dims = proto.graph.input[0].type.tensor_type.shape.dim
        dims[0].dim_value = -1
        dims[2].Clear()
        graph = load(proto)
        assert [str(dim) for dim in graph.shape(graph.inputs[0]) or ()] == [
            "x_dim_0",
            "3",
            "x_dim_2",
            "8",
        ]
        assert shapes(graph)["y"] == ["x_dim_0", "5"]

    def test_an_input_without_a_shape_is_of_unknown_rank(self) -> None:
        proto = ir.to_proto(cnn())
        proto.graph.input[0].type.tensor_type.ClearField("shape")
        graph = load(proto)
        assert graph.inputs[0] not in graph.dims
        assert graph.shape(graph.inputs[0]) is None

    def test_annotations_of_intermediate_values_are_not_believed_and_not_kept(self) -> None:
        proto = ir.to_proto(cnn())
        proto.graph.value_info.append(
            onnx.helper.make_tensor_value_info("c1", onnx.TensorProto.FLOAT, [1, 2, 3])
        )
        graph = load(proto)
        assert shapes(graph)["c1"] == ["batch", "4", "8", "8"]
        assert graph.nodes[0].outputs[0].shape is None

    def test_a_declared_output_counts_where_nothing_can_be_inferred(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[n,4] x) => (float[n,9] y) { y = acme.Mystery (x) }
        """
        assert shapes(graph_of(text))["y"] == ["n", "9"]

    def test_a_wrongly_declared_output_is_not_believed(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x) => (float[n,9] y) { y = Relu (x) }
        """
        assert shapes(graph_of(text))["y"] == ["n", "4"]


class TestNumbers:
    TEXT = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[batch,8,h,w] x) => (float[n,m] y) {
      s = Shape (x)
      b = Gather (s, zero)
      c = Gather (s, one)
      m = Neg (c)
      bc = Mul (b, c)
      u = Unsqueeze (b, zeros)
      t = Concat <axis = 0> (u, minus)
      y = Reshape (x, t)
    }
    """

    def graph(self) -> Graph:
        return graph_of(
            self.TEXT,
            ir.Tensor(np.array(0), name="zero"),
            ir.Tensor(np.array(1), name="one"),
            ir.Tensor(np.array([0]), name="zeros"),
            ir.Tensor(np.array([-1]), name="minus"),
        )

    def test_elements_of_shape_arithmetic_are_told(self) -> None:
        graph = self.graph()
        assert elements(graph, "s") == ["batch", "8", "h", "w"]
        assert elements(graph, "b") == ["batch"]
        assert elements(graph, "c") == ["8"]
        assert elements(graph, "m") == ["-8"]
        assert elements(graph, "bc") == ["8*batch"]
        assert elements(graph, "t") == ["batch", "-1"]
        assert shapes(graph)["y"] == ["batch", "8*h*w"]

    def test_stand_ins_of_elements_and_dimensions_agree(self) -> None:
        graph = self.graph()
        value = next(v for v in all_values(graph.model) if v.name == "s")
        assert graph.elements(value) == graph.shape(graph.inputs[0])

    def test_elements_of_initializers_are_read(self) -> None:
        graph = self.graph()
        assert elements(graph, "minus") == ["-1"]
        assert elements(graph, "zero") == ["0"]

    def test_floats_matrices_and_long_vectors_have_none(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x, float[3] z) => (float[n] y) {
          a = Add (x, f)
          b = Gather (a, i)
          c = Gather (b, l)
          d = Concat <axis = 0> (x, z)
          y = Flatten (c)
        }
        """
        graph = graph_of(
            text,
            tensor("f", 4),
            ir.Tensor(np.zeros((2, 2), np.int64), name="i"),
            ir.Tensor(np.zeros(65, np.int64), name="l"),
        )
        assert not graph.numbers

    def test_the_model_carries_no_trace_of_the_inference(self) -> None:
        graph = self.graph()
        for value in all_values(graph.model):
            assert not value.metadata_props
            if value.producer() is not None:
                assert value.const_value is None
                assert value.shape is None or value.is_graph_output()

    def test_data_types_found_on_the_way_stay(self) -> None:
        graph = self.graph()
        dtypes = {value.name: value.dtype for node in graph.nodes for value in node.outputs}
        assert dtypes["s"] == ir.DataType.INT64
        assert dtypes["y"] == ir.DataType.FLOAT


class TestSlices:
    @pytest.mark.parametrize(
        ("start", "end", "step", "expected"),
        [
            (0, 10**9, 1, "Min(1000000000, n)"),
            (0, 2**63 - 1, 1, "n"),
            (0, 1, 1, "1"),
            (0, 5, 1, "Min(5, n)"),
            (1, 2**63 - 1, 1, "n - 1"),
        ],
    )
    def test_the_end_of_a_slice_is_not_taken_for_the_end_of_the_axis(
        self, start: int, end: int, step: int, expected: str
    ) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x) => (float[m,4] y) { y = Slice (x, s, e, a, t) }
        """
        values = {"s": start, "e": end, "a": 0, "t": step}
        tensors = [ir.Tensor(np.array([v]), name=k) for k, v in values.items()]
        assert shapes(graph_of(text, *tensors))["y"] == [expected, "4"]

    def test_static_axes_are_sliced_exactly(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[9,4] x) => (float[m,4] y) { y = Slice (x, s, e) }
        """
        bounds = [ir.Tensor(np.array([v]), name=k) for k, v in {"s": 2, "e": 10**9}.items()]
        assert shapes(graph_of(text, *bounds))["y"] == ["7", "4"]


class TestOddNodes:
    def test_an_ill_formed_node_costs_only_its_own_shape(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x) => (float[n,4] y, float[k] z) {
          a = Concat (x)
          b = Gemm (x)
          c = Relu (a)
          y = Relu (x)
          z = Relu (b)
        }
        """
        with caplog.at_level(logging.INFO, logger="onnxprune"):
            graph = graph_of(text)
        assert shapes(graph)["y"] == ["n", "4"]
        assert shapes(graph)["c"] is None
        assert "no shape from the rule of node" in caplog.text

    def test_shapes_that_do_not_fit_cost_only_their_own_node(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2,4] x) => (float[2,4] y, float[k] z) { z = MatMul (x, x) y = Relu (x) }
        """
        assert shapes(graph_of(text))["y"] == ["2", "4"]

    def test_onnx_is_asked_about_operators_that_have_no_symbolic_rule(self) -> None:
        text = """
        <ir_version: 10, opset_import: ["" : 9]>
        g (float[2,9] x) => (float[2,4] y) {
          y = Slice <axes = [1], starts = [3], ends = [7]> (x)
        }
        """
        assert shapes(graph_of(text))["y"] == ["2", "4"]

    @pytest.mark.parametrize("line", ["y = Expand (a, s)", "y = Compress <axis = 0> (a, c)"])
    def test_nothing_is_told_of_what_an_unknown_shape_becomes(self, line: str) -> None:
        text = f"""
        <ir_version: 8, opset_import: ["" : 17, "strange" : 1]>
        g (float[n,4] x, bool[8] c) => (float[k] z) {{
            a = strange.Op (x) {line} z = Relu (y)
        }}
        """
        assert shapes(graph_of(text, tensor("s", 3, 1)))["y"] is None

    @pytest.mark.parametrize(
        ("opset", "line"),
        [
            (7, "y = Upsample <scales = [1.0, 1.0, 2.0, 1.5]> (x)"),
            (9, "y = Upsample (x, s)"),
            (10, "y = Resize (x, s)"),
            (11, "y = Resize (x, , s)"),
        ],
    )
    def test_images_are_scaled_in_every_opset(self, opset: int, line: str) -> None:
        text = f"""
        <ir_version: 4, opset_import: ["" : {opset}]>
        g (float[n,3,h,5] x) => (float[k] z) {{ {line} z = Relu (y) }}
        """
        scales = ir.Tensor(np.array([1, 1, 2, 1.5], np.float32), name="s")
        assert shapes(graph_of(text, scales))["y"] == ["n", "3", "2*h", "7"]

    def test_axes_that_a_slice_leaves_alone_keep_their_sizes(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[n,4,m] x, int64[1] s) => (float[k,l,j] z) <int64[1] e = {99}, int64[1] a = {-1}> {
            y = Slice (x, s, e, a) z = Relu (y)
        }
        """
        assert shapes(graph_of(text))["y"][:2] == ["n", "4"]
        assert shapes(graph_of(text))["y"][2] != "m"

    def test_a_fill_and_a_normalisation_without_rules_have_shapes(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[n,4] x, float[4] w) => (float[k] z) {
            s = Shape (x) a = ConstantOfShape (s) y = GroupNormalization <num_groups = 2> (a, w, w)
            z = Relu (y)
        }
        """
        assert shapes(graph_of(text))["y"] == ["n", "4"]

    @pytest.mark.parametrize(
        "line",
        [
            "y = Reshape (x, huge)",
            "y = Expand (x, huge)",
            "y = ConstantOfShape (huge)",
            "y = Concat <axis = 0> (huge, huge)",
            "a, b = Split <num_outputs = 1000000000000> (x) y = Relu (a)",
        ],
    )
    def test_claims_of_a_trillion_things_are_not_listed(self, line: str) -> None:
        text = f"""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[n,4] x, int64[1000000000000] huge) => (float[k] y) {{ {line} }}
        """
        graph_of(text)

    def test_a_weight_in_place_of_a_shape_is_not_a_shape_of_thousands_of_axes(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x) => (float[k] y) {
          a = Reshape (x, w)
          b = Unsqueeze (x, w)
          y = ConstantOfShape (w)
          z = Add (a, b)
        }
        """
        weight = ir.Tensor(np.arange(5000), name="w")
        assert shapes(graph_of(text, weight))["z"] is None

    def test_long_vectors_are_joined(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[9,4] x) => (float[m] y) { y = Concat <axis = 0> (a, a) }
        """
        assert shapes(graph_of(text, tensor("a", 5000)))["y"] == ["10000"]


class TestNestedGraphs:
    def test_values_of_branches_have_shapes(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[n,3] x) => (float[n,3] y) {
          y = If (c) <
            then_branch = t () => (float[n,3] a) { k = Relu (x) a = Neg (k) },
            else_branch = e () => (float[n,3] b) { b = Neg (x) }
          >
          z = Relu (y)
        }
        """
        found = shapes(graph_of(text))
        assert found["k"] == found["a"] == found["b"] == found["y"] == found["z"] == ["n", "3"]

    def test_branches_that_differ_leave_the_size_open(self) -> None:
        text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2,3] x) => (float[m,3] z) {
          y = If (c) <
            then_branch = t () => (float[2,3] a) { a = Relu (x) },
            else_branch = e () => (float[4,3] b) { b = Concat <axis = 0> (x, x) }
          >
          z = Relu (y)
        }
        """
        graph = graph_of(text)
        first, second = graph.shape(graph.outputs[0]) or ()
        assert first.dynamic
        assert second == Dim(3)

    LOOP = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (int64 n, bool c, float[2,3] x) => (float[a,b] z) {
      y = Loop (n, c, x) <body = body (int64 i, bool go, float[d,e] state)
        => (bool again, float[f,g] next) {
          again = Identity (go)
          LINE
      }>
      z = Relu (y)
    }
    """

    def loop(self, line: str) -> dict[str, list[str] | None]:
        proto = onnx.parser.parse_model(self.LOOP.replace("LINE", line))
        body = proto.graph.node[0].attribute[0].g
        for info in [*body.input[2:], *body.output]:
            info.type.tensor_type.ClearField("shape")
        return shapes(with_shapes(ir.from_proto(proto), Source(None, "")))

    def test_the_state_of_a_loop_keeps_its_shape(self) -> None:
        found = self.loop("next = Relu (state)")
        assert found["z"] == found["next"] == ["2", "3"]

    def test_a_state_that_grows_is_of_unknown_size(self) -> None:
        found = self.loop("next = Concat <axis = 0> (state, state)")
        assert found["z"] is not None
        assert found["z"][0].startswith("_d") or found["z"][0].startswith("?")
        assert found["z"][1] == "3"
        assert found["next"] is None


def test_inference_is_deterministic() -> None:
    def picture() -> str:
        graph = load(cnn())
        return json.dumps([[str(v.name), [d.size for d in dims]] for v, dims in graph.dims.items()])

    assert picture() == picture()


def test_the_mappings_cannot_be_changed() -> None:
    dims, numbers = infer(cnn())
    with pytest.raises(AttributeError):
        dims.clear()  # type: ignore[attr-defined]
    assert not numbers
