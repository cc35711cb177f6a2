"""Quantised operators answer as onnxruntime does: whole numbers to the last step."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from onnxprune.oracle.evaluate import evaluators  # noqa: E402
from onnxprune.oracle.examples.quantized import quantized  # noqa: E402
from onnxprune.torch import Interpreter  # noqa: E402
from onnxprune.torch.masked import Masked, without  # noqa: E402
from onnxprune.torch.operators import Call, find  # noqa: E402
from onnxprune.torch.operators.quantized import dynamic  # noqa: E402
from onnxprune.torch.tensors import to_numpy, to_torch  # noqa: E402

pytestmark = pytest.mark.torch

REFUSED = {"QAttention", "MoE"}
EXAMPLES = [
    pytest.param(number, example, id=f"{number}-{example.operator.rpartition('::')[2]}")
    for number, example in enumerate(quantized())
    if example.operator.rpartition("::")[2] not in REFUSED
]


@pytest.mark.parametrize(("number", "example"), EXAMPLES)
def test_it_rounds_as_onnxruntime_does(number: int, example) -> None:  # type: ignore[no-untyped-def]
    case = example.case("example", number)
    feeds = {f"x{i}": array for i, array in enumerate(case.inputs) if array is not None}
    wanted = evaluators("")[-1](case.model, feeds)
    with torch.no_grad():
        found = Interpreter(ir.from_proto(case.model)).run(feeds).values()
    for expected, answer in zip(wanted, map(to_numpy, (m.value for m in found)), strict=True):
        assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
        if expected.dtype.kind in "iu":
            np.testing.assert_array_equal(answer, expected)
        else:
            np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-3)


def test_half_a_step_goes_to_the_even_one() -> None:
    quantize = find("", "QuantizeLinear")
    x = Masked(torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 300.0, -300.0]))
    scale, zero = Masked(torch.tensor(1.0)), Masked(torch.tensor(3, dtype=torch.int8))
    result = quantize(Call("QuantizeLinear", 21, [x, scale, zero]))
    assert result.value.tolist() == [3, 5, 5, 3, 1, 127, -128]


def test_what_is_missing_does_not_stretch_the_scale() -> None:
    values = torch.tensor([[1.0, -2.0], [100.0, -100.0]])
    whole = dynamic(Masked(values[:1]))
    part, scale, zero = dynamic(without("x", values, {0: np.array([1])}))
    assert part.value[:1].tolist() == whole[0].value.tolist()
    assert (scale.value, zero.value) == (whole[1].value, whole[2].value)
    assert part.present is not None
    assert part.present.flatten().tolist() == [True, False]


def test_a_block_that_is_missing_takes_its_scale_with_it() -> None:
    dequantize = find("", "DequantizeLinear")
    x = without("x", torch.arange(12).reshape(2, 6).to(torch.int8), {1: np.array([0, 1])})
    scale = without("s", torch.ones(2, 3), {1: np.array([0])})
    result = dequantize(Call("DequantizeLinear", 21, [x, scale], {"axis": 1, "block_size": 2}))
    assert result.value.tolist() == [[0, 0, 2, 3, 4, 5], [0, 0, 8, 9, 10, 11]]
    assert result.present is not None


@pytest.mark.parametrize("dtype", ["int4", "uint4", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_types_are_widened(dtype: str) -> None:
    array = np.array([0, 1, 3], np.float32).astype(getattr(ml_dtypes, dtype))
    assert to_torch(array).tolist() == [0, 1, 3]
