"""Cases of our own, where ONNX's have a single channel, a single group, or are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx

from onnxprune.oracle.cases import Case, case_of
from onnxprune.oracle.evaluate import Array

__all__ = ["examples"]

Operand = tuple[int, ...] | Array


def examples(operators: Collection[str]) -> Iterator[Case]:
    """Our own cases, as far as they can be run here.

    Args:
        operators: The operators to give cases of.
    """
    for number, (operator, operands, opset, attributes) in enumerate(_all()):
        if operator in operators:
            case = _case(operator, number, operands, opset, attributes)
            if case is not None:
                yield case


Example = tuple[str, tuple[Operand, ...], int, dict[str, object]]


def _all() -> Iterator[Example]:
    yield from _channels()
    yield from _products()
    yield from _moved()
    yield from _resampled()


def _channels() -> Iterator[Example]:
    for group in (1, 2, 4, 8):
        weight, pads = (16, 8 // group, 3, 3), [1, 1, 1, 1]
        yield _example("Conv", (2, 8, 5, 5), weight, (16,), pads=pads, group=group)
        yield _example("Conv", (2, 8, 6), (8, 8 // group, 2), group=group)
    for group in (1, 2, 4):
        weight = (8, 3, 2, 2)
        yield _example("ConvTranspose", (2, 8, 4, 4), weight, (3 * group,), group=group)
    yield _example("BatchNormalization", (2, 6, 3), (6,), (6,), (6,), (6,))
    yield _example("InstanceNormalization", (2, 6, 3), (6,), (6,))
    yield _example("LRN", (2, 6, 3, 3), size=3, alpha=1.0)
    yield _example("LpNormalization", (3, 4), axis=0, p=1)
    yield _example("PRelu", (2, 6, 3), (6, 1))
    yield _example("GlobalLpPool", (2, 6, 3, 3))
    yield _example("LpPool", (2, 6, 3, 3), kernel_shape=[2, 2])
    box = np.array([[1, 0, 0, 5, 5]], np.float32)
    yield _example("MaxRoiPool", (2, 6, 8, 8), box, pooled_shape=[2, 2])


def _products() -> Iterator[Example]:
    yield _example("Gemm", (5, 4), (5, 3), (3,), transA=1)
    yield _example("Gemm", (4, 5), (3, 5), (4, 1), transB=1)
    yield _example("MatMul", (2, 1, 4, 5), (3, 5, 6))
    yield _example("MatMul", (5,), (3, 5, 6))
    yield _example("Softmax", (2, 3, 4), opset=11, axis=1)
    yield _example("Softmax", (2, 3, 4), opset=11)
    yield _example("STFT", (3, 16, 1), np.array(4), (8,))


def _moved() -> Iterator[Example]:
    yield _example("Cast", (3, 4), to=onnx.TensorProto.DOUBLE)
    yield _example("CastLike", (3, 4), (2, 3))
    yield _example("Dropout", (3, 4))
    yield _example("Shape", (3, 4))
    yield _example("Shape", (3, 4, 5), start=1, end=-1)
    yield _example("Size", (3, 4))
    yield _example("Concat", (2, 3), (2, 5), (2, 4), axis=-1)


def _resampled() -> Iterator[Example]:
    none, scales = np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32)
    yield _example("Resize", (2, 3, 4, 4), none, scales, mode="linear")
    yield _example("Resize", (2, 3, 4, 4), none, scales, mode="cubic", opset=11)
    yield _example("Resize", (2, 3, 4, 4), none, none, np.array([2, 3, 7, 5]))
    yield _example("Resize", (2, 3, 4, 4), scales, opset=10)
    yield _example("Upsample", (2, 3, 4, 4), scales, opset=9)
    skewed = np.array([1, 1.2, 1, 1], np.float32)  # the channels are resampled, 3 remain
    yield _example("Resize", (2, 3, 4, 4), none, skewed, mode="nearest")


def _example(operator: str, *operands: Operand, opset: int = 21, **attributes: object) -> Example:
    """Operands are arrays, or shapes of random positive numbers; ``domain::Name`` is possible."""
    return operator, operands, opset, attributes


def _case(
    operator: str,
    number: int,
    operands: tuple[Operand, ...],
    opset: int,
    attributes: dict[str, object],
) -> Case | None:
    random = np.random.default_rng(number)
    data = [
        x if isinstance(x, np.ndarray) else random.random(x).astype(np.float32) + np.float32(0.1)
        for x in operands
    ]
    names = [f"x{i}" for i in range(len(data))]
    domain, _, kind = operator.rpartition("::")
    node = onnx.helper.make_node(kind, names, ["y"], domain=domain, **attributes)
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), None
        )
        for name, x in zip(names, data, strict=True)
    ]
    result = onnx.helper.make_empty_tensor_value_info("y")
    graph = onnx.helper.make_graph([node], kind, inputs, [result])
    imports = [onnx.helper.make_opsetid("", opset)]
    if domain:
        imports.append(onnx.helper.make_opsetid(domain, 1))
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
    return case_of(f"example {number}", model, data)
