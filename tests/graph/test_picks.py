from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_models import floats, operators, same_answers, tensor, text_model

from onnxprune.graph import load

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2,6] a, float[3,6] b) => (float[{shape}] y) {{
  p = Mul (a, left)
  q = Mul (b, right)
  j = Concat <axis = {axis}> (p, q)
  s = Gather <axis = 0> (j, which)
  y = Relu (s)
}}
"""


def picked(which: object, axis: int = 0) -> onnx.ModelProto:
    indices = np.array(which, np.int64)
    shape = ",".join(map(str, [*indices.shape, 6]))
    model = text_model(
        TEXT.format(shape=shape, axis=axis), tensor("left", 2, 6), tensor("right", 3, 6)
    )
    proto = ir.to_proto(model)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(indices, "which"))
    return proto


FEEDS = {"a": floats(2, 6), "b": floats(3, 6)}


@pytest.mark.parametrize("which", [-1, 2, [3, 2, 4], [[-1], [-3]]], ids=str)
def test_what_is_picked_from_one_part_is_read_there(which: object) -> None:
    model = picked(which, axis=-2)
    graph = load(model)
    assert operators(graph.model) == ["Mul", "Gather", "Relu"]
    assert "left" not in graph.initializers
    same_answers(ir.from_proto(model), graph.model, FEEDS)


@pytest.mark.parametrize("which", [[0, -1], [1, 2]], ids=str)
def test_what_is_picked_from_two_parts_stays(which: object) -> None:
    model = picked(which)
    graph = load(model)
    assert operators(graph.model) == ["Mul", "Mul", "Concat", "Gather", "Relu"]
    same_answers(ir.from_proto(model), graph.model, FEEDS)


def test_a_part_of_unknown_size_hides_where_the_others_start() -> None:
    text = TEXT.format(shape="6", axis=0).replace("float[2,6] a", "float[N,6] a")
    model = text_model(text.replace("Mul (a, left)", "Relu (a)"), tensor("right", 3, 6))
    proto = ir.to_proto(model)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(3), "which"))
    assert "Concat" in operators(load(proto).model)
