"""Running one node: ONNX's reference implementation, or onnxruntime where that has none."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

__all__ = ["Array", "Evaluator", "evaluators", "same"]

Array = npt.NDArray[Any]
Evaluator = Callable[[onnx.ModelProto, Mapping[str, Array]], Sequence[Array]]


_MISTAKEN = {"LRN"}
"""Operators whose reference implementation is wrong: that of LRN takes the batch for channels."""


def evaluators(operator: str) -> list[Evaluator]:
    """What can run an operator: the reference implementation, and onnxruntime if it is installed.

    Args:
        operator: The operator.
    """
    found: list[Evaluator] = [] if operator in _MISTAKEN else [_reference]
    if importlib.util.find_spec("onnxruntime") is not None:
        found.append(_runtime)
    return found


def same(a: Array | None, b: Array | None) -> bool:
    """Whether two results of the same computation, in another order, are equal up to rounding."""
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fcV" or a.dtype.names:
        return bool(np.array_equal(a, b))
    rough = a.dtype.kind != "c" and a.dtype.itemsize < 4
    if a.dtype.kind != "c":
        a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(np.allclose(a, b, rtol=2e-3 if rough else 1e-4, atol=1e-5, equal_nan=True))


def _reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Sequence[Array]:
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, dict(feeds))]


def _runtime(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Sequence[Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(array) for array in session.run(None, dict(feeds))]
