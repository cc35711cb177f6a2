"""Inferred shapes against the real ones of onnx's own node test cases, some 1,400 of them.

Each case is put in three ways: as it is; with all operands but the first constant; and with the
sizes of the first operand symbols as well, whose expressions must give the real sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxprune.graph import Dim, Source, with_shapes
from onnxprune.graph.expressions import evaluate


@cache
def cases() -> list[Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return [case for case in found if not case.name.startswith("test_cast")]


def put(case: Any, way: str) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A case as a model, and the sizes of its symbols."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for info in model.graph.output:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    sizes: dict[str, int] = {}
    operands = case.data_sets[0][0]
    if way == "as it is" or not operands:
        return model, sizes
    for info, data in list(zip(model.graph.input, operands, strict=True))[1:]:
        if isinstance(data, np.ndarray) and data.dtype.kind not in "OUS":
            dtype = ir.DataType(info.type.tensor_type.elem_type)
            constant = ir.Tensor(data, name=info.name, dtype=dtype)
            model.graph.initializer.append(ir.serde.serialize_tensor(constant))
    if way == "symbols" and isinstance(operands[0], np.ndarray):
        for axis, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
            dim.dim_param = f"s{axis}"
            sizes[f"s{axis}"] = operands[0].shape[axis]
    return model, sizes


def withheld(case: Any) -> Iterator[tuple[onnx.ModelProto, dict[str, int]]]:
    """A case of constants in which one operand is of unknown rank, for each operand."""
    for place in range(len(case.data_sets[0][0])):
        model, sizes = put(case, "constants")
        info = model.graph.input[place]
        if info.type.HasField("tensor_type"):
            kept = [tensor for tensor in model.graph.initializer if tensor.name != info.name]
            del model.graph.initializer[:]
            model.graph.initializer.extend(kept)
            info.type.tensor_type.ClearField("shape")
            yield model, sizes


def told(dim: Dim, sizes: dict[str, int]) -> int | None:
    return evaluate(dim.symbol, sizes) if dim.symbol is not None else dim.size


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("way", "least"), [("as it is", 2700), ("constants", 3100), ("symbols", 3000)]
)
def test_what_is_told_is_true(way: str, least: int) -> None:
    wrong, right = [], 0
    for case in cases():
        model, sizes = put(case, way)
        problems, told_here = judge(case, model, sizes)
        wrong += problems
        right += told_here
    assert not wrong
    assert right >= least


@pytest.mark.filterwarnings("ignore")
def test_what_is_told_beside_an_operand_of_unknown_rank_is_true() -> None:
    wrong, right = [], 0
    for case in cases():
        for model, sizes in withheld(case):
            problems, told_here = judge(case, model, sizes)
            wrong += problems
            right += told_here
    assert not wrong
    assert right >= 3900


def judge(
    case: Any, model: onnx.ModelProto, sizes: dict[str, int]
) -> tuple[list[tuple[str, list[str], tuple[int, ...]]], int]:
    """What is told falsely of a case's results, and how many sizes are told."""
    wrong, right = [], 0
    graph = with_shapes(ir.from_proto(model), Source(None, ""))
    for value, real in zip(graph.outputs, case.data_sets[0][1], strict=True):
        dims = graph.shape(value)
        if dims is None or not isinstance(real, np.ndarray):
            continue
        claims = [told(dim, sizes) for dim in dims]
        items = [told(dim, sizes) if dim else None for dim in graph.elements(value) or ()]
        facts = zip(items, real.reshape(-1).tolist(), strict=False)
        if len(claims) != real.ndim or any(
            claim is not None and claim != fact
            for claim, fact in [*zip(claims, real.shape, strict=False), *facts]
        ):
            wrong.append((case.name, [str(dim) for dim in dims], real.shape))
        right += sum(claim is not None for claim in claims)
    return wrong, right
