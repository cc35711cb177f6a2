from __future__ import annotations

import onnx_ir as ir
import pytest
from graph_models import cnn, tensor, text_model

from onnxprune.graph import fingerprint, load

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[batch,4,8,8] x) => (float[batch,4,8,8] y)'


def of(body: str, *tensors: ir.TensorProtocol) -> str:
    return fingerprint(load(text_model(f"{HEAD} {{ {body} }}", *tensors)))


def weight(name: str, seed: int = 0, kernel: int = 1) -> ir.Tensor:
    return tensor(name, 4, 4, kernel, kernel, seed=seed)


ONE = of("a = Conv (x, w) y = Relu (a)", weight("w"))


def test_other_weights_and_names_are_no_other_architecture() -> None:
    assert of("b = Conv (x, v) y = Relu (b)", weight("v", seed=3)) == ONE
    renamed = text_model(
        f"{HEAD} {{ a = Conv (x, w) y = Relu (a) }}".replace("batch", "n"), weight("w")
    )
    renamed.graph.doc_string, renamed.producer_name = "said", "someone"
    renamed.graph[0].name, renamed.graph[0].metadata_props["k"] = "conv", "v"
    assert fingerprint(load(renamed)) == ONE


@pytest.mark.parametrize(
    ("body", "kernel"),
    [
        ("a = Conv (x, w) y = Tanh (a)", 1),
        ("a = Relu (x) y = Conv (a, w)", 1),
        ("a = Conv <pads = [1,1,1,1]> (x, w) y = Relu (a)", 3),
        ("a = Conv <pads = [2,2,2,2], dilations = [2,2]> (x, w) y = Relu (a)", 3),
        ("a = Conv (x, w) y = Relu (x)", 1),
    ],
)
def test_other_operators_attributes_shapes_and_edges_are(body: str, kernel: int) -> None:
    assert of(body, weight("w", kernel=kernel)) != ONE


def test_the_order_of_independent_nodes_does_not_matter() -> None:
    weights = weight("v"), weight("w", kernel=3)
    conv = "b = Conv <pads = [1,1,1,1]> (x, w)"
    first = of(f"a = Conv (x, v) {conv} y = Add (a, b)", *weights)
    assert of(f"{conv} a = Conv (x, v) y = Add (a, b)", *weights) == first
    assert of(f"{conv} a = Conv (x, v) y = Add (b, a)", *weights) != first


def test_a_shared_weight_is_another_architecture_than_two() -> None:
    apart = of("a = Conv (x, v) y = Conv (a, w)", weight("v"), weight("w", 1))
    assert of("a = Conv (x, w) y = Conv (a, w)", weight("w")) != apart
    once = of("a = Conv (x, w) y = Add (a, a)", weight("w"))
    twice = of("a = Conv (x, v) b = Conv (x, w) y = Add (a, b)", weight("v"), weight("w", 1))
    assert once != twice


def test_vectors_that_happen_to_be_equal_do_not_matter() -> None:
    other = cnn()
    for name in ("b", "b3"):
        value = other.graph.initializers[name]
        assert value.const_value is not None
        value.const_value = tensor(name, *value.const_value.shape.numpy(), seed=5)
    shared = fingerprint(load(cnn()))
    assert fingerprint(load(other)) == shared
    conv = other.graph[2]
    bias = ir.Value(name="own", const_value=tensor("own", 4), type=ir.TensorType(ir.DataType.FLOAT))
    other.graph.register_initializer(bias)
    conv.replace_input_with(2, bias)
    assert fingerprint(load(other)) == shared


def test_the_target_of_a_reshape_is_part_of_the_architecture() -> None:
    text = "t = Constant <value_ints = {}> () a = Reshape (x, t) b = Relu (a) z = Shape (x) "
    text += "y = Reshape (b, z)"
    assert of(text.format("[0,2,2,8,8]")) != of(text.format("[0,4,1,8,8]"))


def test_nested_graphs_count() -> None:
    text = """r = ReduceSum <keepdims = 0> (x) z = Constant <value = float {{0.0}}> ()
      c = Greater (r, z)
      y = If (c) <then_branch = t () => (float[n,4,8,8] a) {{ a = {} (x) }},
                  else_branch = e () => (float[n,4,8,8] b) {{ b = Neg (x) }}>"""
    assert of(text.format("Relu")) == of(text.format("Relu").replace("e ()", "other ()"))
    assert of(text.format("Relu")) != of(text.format("Tanh"))
