from __future__ import annotations

import time
import warnings
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import floats, operators, same_answers, tensor, text_model

from onnxprune.graph import load
from onnxprune.graph.fold import FOLDED


def test_a_transposed_weight_becomes_a_weight_of_the_same_name() -> None:
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


@pytest.mark.parametrize("hidden", [4, 256])
def test_reordered_gates_of_an_lstm_become_a_weight(hidden: int) -> None:
    text = f"""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[5,2,6] x) => (float[5,1,2,{hidden}] y) {{
      n0 = Constant <value_ints = [0]> ()
      n1 = Constant <value_ints = [{hidden}]> ()
      n2 = Constant <value_ints = [{2 * hidden}]> ()
      n3 = Constant <value_ints = [{3 * hidden}]> ()
      n4 = Constant <value_ints = [{4 * hidden}]> ()
      i = Slice (weight_hh, n0, n1)
      f = Slice (weight_hh, n1, n2)
      c = Slice (weight_hh, n2, n3)
      o = Slice (weight_hh, n3, n4)
      iofc = Concat <axis = 0> (i, o, f, c)
      r = Unsqueeze (iofc, n0)
      y = LSTM <hidden_size = {hidden}> (x, w, r)
    }}
    """
    weights = tensor("w", 1, 4 * hidden, 6), tensor("weight_hh", 4 * hidden, hidden)
    model = text_model(text, *weights)
    graph = load(model)
    assert operators(graph.model) == ["LSTM"]
    assert set(graph.initializers) == {"w", "weight_hh"}
    same_answers(model, graph.model, {"x": floats(5, 2, 6)})


def test_a_table_that_is_computed_from_a_range_stays_computed() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,64] x) => (float[2,64] y) {
      t = MatMul (column, row)
      c = Cos (t)
      y = MatMul (x, c)
    }
    """
    graph = load(text_model(text, tensor("column", 64, 1), tensor("row", 1, 64)))
    assert set(graph.initializers) == {"column", "row"}


def test_a_weight_made_of_two_keeps_the_operators_name() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x) => (float[2,4] y) { m = MatMul (a, b) y = MatMul (x, m) }
    """
    graph = load(text_model(text, tensor("a", 3, 5), tensor("b", 5, 4)))
    assert set(graph.initializers) == {"m"}


def test_static_shape_arithmetic_disappears() -> None:
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


def test_dynamic_shape_arithmetic_stays() -> None:
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


def test_identities_and_dropouts_of_inference_disappear_and_outputs_keep_their_names() -> None:
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


def test_a_branch_that_is_certain_is_taken() -> None:
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
def test_what_differs_between_runs_is_not_computed(operator: str) -> None:
    text = f"""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[4,4] x) => (float[4,4] y) {{ r = {operator} (w) y = Add (x, r) }}
    """
    graph = load(text_model(text, ir.Tensor(np.full((4, 4), 0.5, np.float32), name="w")))
    assert operators(graph.model) == [operator, "Add"]


def test_quantised_weights_stay_quantised() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x) => (float[2,4] y) { d = DequantizeLinear (w, s) y = MatMul (x, d) }
    """
    weight = ir.Tensor(np.arange(12, dtype=np.int8).reshape(3, 4), name="w")
    scale = ir.Tensor(np.array(0.1, np.float32), name="s")
    assert operators(load(text_model(text, weight, scale)).model)[0] == "DequantizeLinear"


def test_weights_stored_in_half_precision_stay_small() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,300] x) => (float[2,300] y) { d = Cast <to = 1> (w) y = MatMul (x, d) }
    """
    weight = ir.Tensor(np.ones((300, 300), np.float16), name="w")
    assert operators(load(text_model(text, weight)).model) == ["Cast", "MatMul"]


def test_a_large_weight_that_is_used_twice_is_not_doubled() -> None:
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
def test_a_small_file_that_asks_for_huge_tensors_is_left_alone(lines: str) -> None:
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


def test_doubling_many_times_does_not_fill_the_memory() -> None:
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


def test_squaring_many_times_does_not_hang() -> None:
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


def test_an_operator_that_cannot_be_computed_stays() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x) => (float[2,3] y) { a = Add (w, v) y = Add (x, a) }
    """
    model = text_model(text, tensor("w", 2, 3), tensor("v", 5, 7))  # do not broadcast
    assert "Add" in operators(load(model).model)


def test_oddities_are_no_reason_to_warn(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[3] x) => (float[3] y) { a = Sub (w, w) b = Div (a, a) c = Log (a) y = Sum (x, b, c) }
    """
    model = text_model(text, tensor("w", 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = load(model)
    assert operators(graph.model) == ["Sum"]
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    same_answers(model, graph.model, {"x": floats(3)})


def test_amounts_of_padding_that_grow_out_of_a_shape_are_known() -> None:
    """torch's legacy exporter fills up the amounts with zeros and reverses them."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,4,4] x) => (float[N,5,4,4] y) {
      four = Constant <value_ints = [4]> ()
      amounts = Constant <value_ints = [0,0,0,0,1,1]> ()
      zeros = ConstantOfShape <value = int64[1] {0}> (two)
      all = Concat <axis = 0> (amounts, zeros)
      rows = Reshape (all, pairs)
      reversed = Slice (rows, last, first, axis, back)
      columns = Transpose <perm = [1,0]> (reversed)
      flat = Reshape (columns, one)
      y = Pad (x, flat)
    }
    """
    numbers = {"two": [2], "pairs": [-1, 2], "last": [-1], "first": [-(2**62)], "axis": [0]}
    numbers |= {"back": [-1], "one": [-1]}
    model = text_model(text, *(ir.Tensor(np.array(n), name=name) for name, n in numbers.items()))
    graph = load(model)
    assert operators(graph.model) == ["Pad"]
    same_answers(model, graph.model, {"x": floats(2, 3, 4, 4)})


def test_weights_that_are_to_stay_as_they_are() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,6] x) => (float[2,4] y) {
      t = Transpose <perm = [1,0]> (weight)
      s = Shape (weight)
      o = Constant <value_int = 0> ()
      n = Gather (s, o)
      f = Cast <to = 1> (n)
      a = MatMul (x, t)
      b = Div (a, f)
      d = Mul (two, scale)
      y = Mul (b, d)
    }
    """
    two = ir.Tensor(np.array(2, np.float32), name="two")
    model = text_model(text, tensor("weight", 4, 6), tensor("scale", 4), two)
    graph = load(model, untouched={"weight", "scale"})
    assert operators(graph.model) == ["Transpose", "MatMul", "Div", "Mul", "Mul"]
    assert {"weight", "scale", "two"} <= set(graph.initializers)
    assert not any(FOLDED in value.meta for value in graph.initializers.values())
    weight = graph.initializers["weight"].const_value
    assert weight is not None
    np.testing.assert_array_equal(weight.numpy(), tensor("weight", 4, 6).numpy())
    same_answers(model, graph.model, {"x": floats(2, 6)})
    assert operators(load(model).model) == ["MatMul", "Div", "Mul"]


def test_a_branch_that_is_never_taken_is_forgotten() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2,4] x) => (float[2,4] y) {
      z = Add (x, bias)
      never = Constant <value = bool {0}> ()
      y = If (never) <
        then_branch = t () => (float[2,4] a) { s = Sub (z, bias) a = Mul (s, scale) },
        else_branch = e () => (float[2,4] b) { b = Mul (z, bias) }
      >
    }
    """
    model = text_model(text, tensor("bias", 4), tensor("scale", 4))
    graph = load(model)
    assert operators(graph.model) == ["Add", "Mul"]
    assert set(graph.initializers) == {"bias", "bias__2"}
    same_answers(model, graph.model, {"x": floats(2, 4)})
