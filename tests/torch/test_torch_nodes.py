"""Every supported operator against ONNX's own node test cases, nothing missing."""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from onnxprune.torch import Interpreter, UnsupportedOperator  # noqa: E402
from onnxprune.torch.operators import supported  # noqa: E402
from onnxprune.torch.tensors import to_numpy  # noqa: E402

pytestmark = pytest.mark.torch

# Operators without a function here, whose ONNX function body runs instead.
BY_BODY = {
    "AffineGrid",
    "Attention",
    "BlackmanWindow",
    "CausalConvWithState",
    "CenterCropPad",
    "HammingWindow",
    "HannWindow",
    "LinearAttention",
    "NegativeLogLikelihoodLoss",
    "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss",
    "SwiGLU",
}

# Operators that run graphs of their own, of which the interpreter itself takes care.
CONTROL = {"If", "Loop", "Scan"}

# Operators on sequences, which single nodes cannot be fed; `test_torch_control.py` has graphs.
SEQUENCES = {
    *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase"),
    *("SequenceInsert", "SequenceLength", "SplitToSequence"),
}

KNOWN = {np.dtype(t) for t in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")}
KNOWN.add(np.dtype(ml_dtypes.bfloat16))

# Case names -> why it is not expected to pass.
EXCEPTIONS = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "the expected values are rounded",
    "test_batchnorm_*_training_mode": "training mode is refused",
    "test_training_dropout": "training mode is random, and refused",
    "test_training_dropout_default": "training mode is random, and refused",
    "test_training_dropout_default_mask": "training mode is random, and refused",
    "test_training_dropout_mask": "training mode is random, and refused",
    "test_gridsample_bicubic": "the expected values are rounded",
    "test_roialign_aligned_*": "the expected values are rounded",
    "test_scan_sum": "version 8 has batches, and is refused",
    "test_resize_downsample_scales_*_align_corners": "onnxruntime rounds the size first; so do we",
}

# Supported operators of which the standard has no test case of a single node.
WITHOUT_CASE = {"GlobalLpPool", "MaxRoiPool"}


@cache
def cases() -> dict[str, Any]:
    """The test cases of one node, whose operator is supported, with everyday element types."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases are computed, overflows and all
        loaded = load_model_tests(kind="node")
    wanted = {*supported(), *BY_BODY, *CONTROL}
    return {
        case.name: case
        for case in loaded
        if len(case.model.graph.node) == 1
        and case.model.graph.node[0].op_type in wanted
        and case.model.graph.node[0].domain == ""
        and all(is_known(array(x)) for given, wanted in case.data_sets for x in (*given, *wanted))
    }


def array(x: Any) -> Any:
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def is_known(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and x.dtype in KNOWN


def exception_for(name: str) -> str | None:
    return next((why for pattern, why in EXCEPTIONS.items() if fnmatch(name, pattern)), None)


def check(case: Any) -> None:
    interpreter = Interpreter(ir.from_proto(case.model))
    inputs = [i.name for i in case.model.graph.input]
    outputs = [o.name for o in case.model.graph.output]
    for data in case.data_sets:
        given, expected = ([array(x) for x in arrays] for arrays in data)
        with torch.no_grad():
            answer = interpreter.run(dict(zip(inputs, given, strict=False)))
        for name, want in zip(outputs, expected, strict=True):
            got = to_numpy(answer[name].value)
            assert got.shape == want.shape, f"{name}: {got.shape}, not {want.shape}"
            assert got.dtype == want.dtype, f"{name}: {got.dtype}, not {want.dtype}"
            tolerance = {"rtol": 1e-4, "atol": 1e-5}
            if want.dtype in (np.float16, ml_dtypes.bfloat16):  # two units in the last place
                step = 2.0**-10 if want.dtype == np.float16 else 2.0**-7
                tolerance = {"rtol": 2 * step, "atol": step / 8}
            wide = [x.astype(np.float64) if x.dtype.kind not in "iub" else x for x in (got, want)]
            np.testing.assert_allclose(*wide, **tolerance)


def test_node_cases() -> None:
    failures, passed = {}, 0
    for name, case in cases().items():
        try:
            check(case)
        except Exception as error:  # the list of all failures says more than the first
            failures[name] = f"{type(error).__name__}: {error}"
        else:
            passed += 1
    unexpected = {n: why for n, why in failures.items() if exception_for(n) is None}
    assert not unexpected, "\n".join(f"{n}: {why}" for n, why in unexpected.items())
    assert passed >= 900  # 1119 with onnx 1.23; older ones have fewer cases


def test_every_exception_still_is_one() -> None:
    for pattern in EXCEPTIONS:
        names = [name for name in cases() if fnmatch(name, pattern)]
        for name in names:
            with pytest.raises((AssertionError, UnsupportedOperator)):
                check(cases()[name])


def test_every_operator_has_a_node_case() -> None:
    covered = {case.model.graph.node[0].op_type for case in cases().values()}
    known = {name for name in {*supported(), *BY_BODY, *CONTROL} if onnx.defs.has(name)}
    assert known - covered == WITHOUT_CASE | SEQUENCES
