"""The float64 copy of a model, which decides where float32 rounding is in doubt."""

import numpy as np
import onnx_ir as ir
import pytest
from small import MODELS

from onnxprune.budget import cost
from onnxprune.graph import load

pytest.importorskip("torch")

from onnxprune.torch import Interpreter
from onnxprune.torch.double import in_double

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_a_copy_in_double_leaves_the_original_as_it_is(name: str) -> None:
    graph = load(MODELS[name]())
    before = cost(graph)
    types = {value.name: value.dtype for value in graph.initializers.values()}
    wide = in_double(graph.model)
    assert cost(graph) == before
    assert {value.name: value.dtype for value in graph.initializers.values()} == types
    assert ir.DataType.FLOAT not in {value.dtype for value in wide.graph.initializers.values()}


def test_it_answers_as_the_original_only_more_closely() -> None:
    graph = load(MODELS["chain"]())
    random = np.random.default_rng(0)
    feeds = {
        str(value.name): random.random([2 if d.dynamic else d.size for d in graph.shape(value)])
        for value in graph.inputs
    }
    wide = Interpreter(in_double(graph.model)).run(feeds)
    narrow = Interpreter(graph.model).run({k: v.astype(np.float32) for k, v in feeds.items()})
    for name, output in wide.items():
        assert output.value.numpy().dtype == np.float64
        np.testing.assert_allclose(narrow[name].value.numpy(), output.value.numpy(), 1e-4, 1e-5)
