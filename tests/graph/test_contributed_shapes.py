"""The shapes of onnxruntime's own operators are those of what onnxruntime makes."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from onnxprune.graph import Dim, Graph, Source, with_shapes
from onnxprune.oracle import Case
from onnxprune.oracle.examples.fused import fused

UNTOLD = {
    "com.microsoft::Range": "its elements say how many there are",
    "com.microsoft::Unique": "its elements say how many there are",
    "Crop": "its pixels are not counted",
}


def cases() -> list[Case]:
    made = [example.case(str(number), number) for number, example in enumerate(fused())]
    return [case for case in made if case is not None]


def loaded(case: Case) -> Graph:
    """The node with all operands but the first as constants, as they are when it is analysed."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    del model.functions[:]
    for info in model.graph.input:
        array = case.inputs[int(info.name[1:])]
        assert array is not None
        info.type.tensor_type.shape.SetInParent()
        for size in array.shape:
            info.type.tensor_type.shape.dim.add().dim_value = size
        if info.name != "x0":
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    del model.graph.input[1:]
    return with_shapes(ir.from_proto(model), Source(None, ""))


CASES = cases()


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES} - {*UNTOLD}))
def test_the_shape_of_the_first_result(operator: str) -> None:
    for case in CASES:
        if case.operator == operator:
            graph, result = loaded(case), case.outputs[0]
            assert result is not None
            assert graph.shape(graph.nodes[0].outputs[0]) == tuple(map(Dim, result.shape))


@pytest.mark.parametrize("operator", sorted(UNTOLD))
def test_what_cannot_be_told_is_not(operator: str) -> None:
    for case in CASES:
        if case.operator == operator:
            graph = loaded(case)
            shape = graph.shape(graph.nodes[0].outputs[0])
            assert shape is None or any(dim.dynamic for dim in shape)


def test_pads_that_are_computed_leave_the_pixels_open() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
    g (float[n,4,5,5] x, int64[4] p, float[4,3,2,2] w) => (float[a,b,c,d] y) {
        t = com.microsoft.ConvTransposeWithDynamicPads (x, w, p)
        y = Relu (t)
    }
    """
    graph = with_shapes(ir.from_proto(onnx.parser.parse_model(text)), Source(None, ""))
    assert graph.shape(graph.nodes[0].outputs[0]) is None
