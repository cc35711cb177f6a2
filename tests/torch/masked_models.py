"""Small models in ONNX text, with weights, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from onnxprune.torch import masked_twin

Removed = dict[str, dict[int, Sequence[int]]]
Arrays = dict[str, np.ndarray]


def proto(body: str, weights: Mapping[str, np.ndarray], opset: int = 21) -> onnx.ModelProto:
    """A model from `(inputs) => (outputs) { nodes }`, in which weights are just named."""
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> {body}'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for n, w in weights.items())
    return model


def model(body: str, weights: Mapping[str, np.ndarray], opset: int = 21) -> ir.Model:
    return ir.from_proto(proto(body, weights, opset))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def sliced(weights: Mapping[str, np.ndarray], removed: Removed) -> Arrays:
    """The weights without what has been removed."""
    result = dict(weights)
    for name, axes in removed.items():
        for axis, indices in axes.items():
            result[name] = np.delete(result[name], list(indices), axis)
    return result


def arrays(removed: Removed) -> dict[str, dict[int, np.ndarray]]:
    return {n: {a: np.asarray(i) for a, i in axes.items()} for n, axes in removed.items()}


def answers(body: str, weights: Arrays, feeds: Arrays, opset: int = 21) -> Arrays:
    """What the ONNX reference implementation answers."""
    evaluator = ReferenceEvaluator(proto(body, weights, opset))
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))


def check(
    body: str,
    weights: Arrays,
    removed: Removed,
    feeds: Arrays,
    small: str | None = None,
    opset: int = 21,
) -> Arrays:
    """The twin of the model must answer what the sliced model does, whose text may differ."""
    twin = masked_twin(model(body, weights, opset), feeds, arrays(removed))
    expected = answers(small or body, sliced(weights, removed), feeds, opset)
    assert set(twin) == set(expected)
    for name, want in expected.items():
        assert twin[name].shape == want.shape
        np.testing.assert_allclose(twin[name], want, rtol=1e-4, atol=1e-5)
    return twin
