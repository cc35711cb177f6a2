"""Splits into sequences: the loaded graph answers as the file does in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import same_answers

from onnxprune.graph import load

SIZES = {"1": 1, "2": 2, "[1, 1]": [1, 1], "[2]": [2], "": None}


def split_model(opset: int, keepdims: int, size: str) -> onnx.ModelProto:
    sizes = SIZES[size]
    text = f"""
    <ir_version: 8, opset_import: ["" : {opset}]>
    g (float[4,2] x) => (float y) <int64 zero = {{0}}> {{
      s = SplitToSequence <axis = 1, keepdims = {keepdims}> (x{", sizes" if sizes else ""})
      a = SequenceAt (s, zero)
      y = Relu (a)
    }}
    """
    model = onnx.parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    if sizes:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes), "sizes"))
    return model


@pytest.mark.parametrize(
    ("keepdims", "size"),
    [(k, s) for k in (0, 1) for s in SIZES if (k, s) != (0, "2")],  # onnxruntime fails at that one
)
@pytest.mark.parametrize("opset", [12, 17, 18])
def test_the_loaded_graph_answers_as_the_file(opset: int, keepdims: int, size: str) -> None:
    model = split_model(opset, keepdims, size)
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    same_answers(model, load(model).model, {"x": x})


def test_what_can_be_a_split_becomes_one() -> None:
    operators = {node.op_type for node in load(split_model(18, 1, "1")).nodes}
    assert operators == {"Split", "Relu"}


def test_a_rank_that_follows_from_the_definition_is_not_folded_in() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    g (float[4,2] x) => (int64[n] y) <int64 one = {1}> {
      s = SplitToSequence <axis = 1, keepdims = 0> (x, one)
      a = SequenceAt (s, one)
      b = Shape (a)
      y = Shape (b)
    }
    """
    model = onnx.parser.parse_model(text)
    same_answers(model, load(model).model, {"x": np.ones((4, 2), np.float32)})


def test_the_models_own_nodes_stay_as_they_are() -> None:
    model = ir.serde.deserialize_model(split_model(17, 0, "1"))
    load(model)
    (split, *_) = model.graph
    assert len(split.inputs) == 2
