"""What weights are called, however torch exported them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxprune.units.naming import module_name

SCOPES = "pkg.torch.onnx.name_scopes"


def weight(name: str) -> ir.Value:
    tensor = ir.Tensor(np.ones((2, 2), np.float32), name=name)
    return ir.Value(name=name, const_value=tensor)


def node(name: str, *weights: str, op: str = "Conv", scopes: str | None = None) -> ir.Node:
    made = ir.node(op, [ir.Value(name="x"), *map(weight, weights)], name=name)
    if scopes is not None:
        made.metadata_props[SCOPES] = scopes
    return made


def called(made: ir.Node, *others: ir.Node) -> str:
    ir.Graph([], [], nodes=[made, *others], opset_imports={"": 20})
    tensor = made.inputs[1]
    assert tensor is not None
    return module_name(tensor, made)


PARAMETERS = """
    weight bias running_mean running_var in_proj_weight in_proj_bias q_proj_weight k_proj_weight
    v_proj_weight bias_k bias_v weight_ih_l0 weight_hh_l1_reverse bias_ih_l10 weight_hr_l0
    weight_bias weight_g weight_v weight_orig parametrizations.weight.original1
"""


@pytest.mark.parametrize("last", PARAMETERS.split())
def test_a_parameter_of_a_layer_names_the_module(last: str) -> None:
    assert called(node("Conv_3", f"net.conv0.{last}")) == "net.conv0"


def test_a_bare_weight_has_no_module() -> None:
    assert called(node("Conv_3", "weight")) == "Conv_3"
    assert called(node("", "w")) == "w"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/conv1/Conv", "conv1"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/layer2/layer2.0/downsample/downsample.0/Conv", "layer2.0.downsample.0"),
        ("/net/net.0/net.0.1/Conv", "net.0.1"),
        ("/net.1/net.1.0/net.1.0.0/Conv", "net.1.0.0"),
        ("/blocks.0/attn/qkv/MatMul", "blocks.0.attn.qkv"),
        ("/rnn/LSTM_1", "rnn"),
        ("/c/c.0_1/Conv", "c.0"),
        ("/conv_1/Conv", "conv_1"),
        ("/Conv", "/Conv"),
    ],
)
def test_a_lost_name_is_found_in_the_name_of_the_node(name: str, module: str) -> None:
    assert called(node(name, "onnx::Conv_193")) == module


def test_a_lost_name_is_found_in_the_scopes_of_the_node() -> None:
    scopes = "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']"
    assert called(node("node_Conv_3", "val_12", scopes=scopes)) == "layer1.0.conv1"
    assert called(node("node_Conv_3", "val_12", scopes="['', 'conv2d_1']")) == "node_Conv_3"


@pytest.mark.parametrize("scopes", ["", "[", "3", "[]", "['']", "[" * 9999, "{1: 2}"])
def test_malformed_scopes_are_ignored(scopes: str) -> None:
    assert called(node("node_Conv_3", "val_12", scopes=scopes)) == "node_Conv_3"


def test_a_container_of_modules_is_no_module_with_a_weight() -> None:
    inner = node("/layer1/conv1/Conv", "onnx::Conv_1")
    assert called(node("/layer1/Mul", "onnx::Mul_2", op="Mul"), inner) == "/layer1/Mul"
    inner = node("node_Conv_1", "val_1", scopes="['', 'layer1', 'layer1.conv1', 'conv2d']")
    outer = node("node_Mul_2", "val_2", op="Mul", scopes="['', 'layer1', 'mul']")
    assert called(outer, inner) == "node_Mul_2"
    other = node("/layer10/conv1/Conv", "onnx::Conv_1")
    assert called(node("/layer1/Mul", "onnx::Mul_2", op="Mul"), other) == "layer1"


def test_the_bias_of_a_layer_tells_whose_weight_it_is() -> None:
    assert called(node("/x/Conv", "onnx::Conv_1", "d.x.bias")) == "d.x"
    product = node("/attn/MatMul_5", "onnx::MatMul_97", op="MatMul")
    ir.node("Add", [weight("attn.out_proj.bias"), product.outputs[0]])
    assert called(product) == "attn.out_proj"


def test_a_parameter_that_is_no_layers_is_called_by_its_own_name() -> None:
    assert called(node("/block/Mul", "block.scale", op="Mul")) == "block.scale"
    assert called(node("/Add", "pos_embed", op="Add")) == "pos_embed"
    assert called(node("/Add", "add_3", op="Add")) == "/Add"


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("StatefulPartitionedCall/model/conv/Conv2D", "const_fold_opt__16"),
        ("StatefulPartitionedCall/model/conv/Conv2D", "model/conv/Conv2D/ReadVariableOp:0"),
        ("Conv.12", "conv2d_0.w_0"),
        ("Conv_0", "w1"),
    ],
)
def test_models_of_other_frameworks_have_the_names_of_their_nodes(name: str, tensor: str) -> None:
    assert called(node(name, tensor)) == name
