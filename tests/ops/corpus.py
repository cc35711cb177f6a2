"""Nodes with their operands and results: ONNX's own test cases, and some more."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from helpers import run
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from onnxprune.graph import Dim, Graph, Source


@dataclass
class Case:
    """One node with its operands and what it makes of them."""

    name: str
    proto: onnx.ModelProto
    node: ir.Node
    graph: Graph
    inputs: list[np.ndarray | None]
    outputs: list[np.ndarray]
    runtime: bool = False  # run it in onnxruntime, else by the reference implementation

    def run(
        self, inputs: list[np.ndarray | None], proto: onnx.ModelProto | None = None
    ) -> list[np.ndarray]:
        feeds = {
            name: array
            for name, array in zip(self.proto.graph.node[0].input, inputs, strict=False)
            if name and array is not None
        }
        extra = inputs[len(self.proto.graph.node[0].input) :]
        feeds |= {f"extra{i}": array for i, array in enumerate(extra) if array is not None}
        proto = proto or self.proto
        if self.runtime:
            found = run(proto, feeds).values()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ReferenceEvaluator(proto).run(None, feeds)
        return [np.asarray(array) for array in found]


def cases(operators: Collection[str], most: int = 1000) -> Iterator[Case]:
    """ONNX's cases of a single node on plain tensors, about `most` for each operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_model_tests(kind="node")
    groups: dict[str, list[Any]] = {name: [] for name in operators}
    for test in found:
        if test.model is not None and len(test.model.graph.node) == 1 and test.data_sets:
            node = test.model.graph.node[0]
            if node.domain == "" and node.op_type in groups:
                groups[node.op_type].append(test)
    for tests in groups.values():
        for test in tests[:: max(1, len(tests) // most)]:
            case = _case(test.name, test.model, test.data_sets[0][0])
            if case is not None:
                yield case


def _case(
    name: str, proto: onnx.ModelProto, data: list[np.ndarray], runtime: bool = False
) -> Case | None:
    feeds = dict(zip((value.name for value in proto.graph.input), data, strict=True))
    node = proto.graph.node[0]
    read = [value for value in node.input if value]
    if any(not isinstance(a, np.ndarray) for a in data) or len(set(read)) != len(read):
        return None
    inputs = [feeds.get(value) for value in node.input]
    empty = Case(name, proto, None, None, inputs, [], runtime)  # type: ignore[arg-type]
    try:
        outputs, again = empty.run(inputs), empty.run(inputs)
    except Exception:
        return None  # it cannot be run here
    if not all(same(a, b) for a, b in zip(outputs, again, strict=True)):
        return None
    model = ir.from_proto(proto)
    made = next(iter(model.graph))
    dims = {}
    numbers = {}
    for value, array in zip(made.inputs, inputs, strict=True):
        if value is None or array is None:
            continue
        dims[value] = tuple(map(Dim, array.shape))
        if value is not made.inputs[0] and array.dtype.kind in "iufb":
            value.const_value = ir.tensor(array)
            if array.ndim < 2 and array.dtype.kind == "i":
                numbers[value] = tuple(Dim(int(e)) for e in array.reshape(-1))
    for output, array in zip(model.graph.outputs, outputs, strict=True):
        dims[output] = tuple(map(Dim, array.shape))
    graph = Graph(model, Source(None, ""), dims, numbers)
    places = [next(o for o in model.graph.outputs if o is v) for v in made.outputs if v.name]
    order = [list(model.graph.outputs).index(place) for place in places]
    if order != list(range(len(outputs))) or len(order) != len(made.outputs):
        return None
    return Case(name, proto, made, graph, inputs, outputs, runtime)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two results are equal up to rounding."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fcV" or a.dtype.names:
        return bool(np.array_equal(a, b))
    wide = (a.astype(np.float64), b.astype(np.float64)) if a.dtype.kind != "c" else (a, b)
    return bool(np.allclose(*wide, rtol=2e-3, atol=1e-4, equal_nan=True))


def more_cases() -> Iterator[Case]:
    """Cases where ONNX's own have a single channel, a single group, or are missing."""
    random = np.random.default_rng(0)

    def case(
        op: str, *operands: tuple[int, ...] | np.ndarray, opset: int = 21, **attributes: object
    ) -> Case:
        data = [
            x if isinstance(x, np.ndarray) else random.random(x).astype(np.float32) + 0.1
            for x in operands
        ]
        names = [f"x{i}" for i in range(len(data))]
        node = onnx.helper.make_node(op, names, ["y"], **attributes)
        kinds = [onnx.helper.np_dtype_to_tensor_dtype(x.dtype) for x in data]
        inputs = [
            onnx.helper.make_tensor_value_info(name, kind, None)
            for name, kind in zip(names, kinds, strict=True)
        ]
        result = onnx.helper.make_empty_tensor_value_info("y")
        graph = onnx.helper.make_graph([node], op, inputs, [result])
        imports = [onnx.helper.make_opsetid("", opset)]
        made = _case(
            f"more_{op}", onnx.helper.make_model(graph, opset_imports=imports), data, runtime=True
        )
        assert made is not None, op
        return made

    for group in (1, 2, 4, 8):
        sizes = {"pads": [1, 1, 1, 1], "group": group}
        yield case("Conv", (2, 8, 5, 5), (16, 8 // group, 3, 3), (16,), **sizes)
        yield case("Conv", (2, 8, 6), (8, 8 // group, 2), group=group)
    for group in (1, 2, 4):
        yield case("ConvTranspose", (2, 8, 4, 4), (8, 3, 2, 2), (3 * group,), group=group)
    yield case("BatchNormalization", (2, 6, 3), (6,), (6,), (6,), (6,))
    yield case("InstanceNormalization", (2, 6, 3), (6,), (6,))
    yield case("Cast", (3, 4), to=11)
    yield case("CastLike", (3, 4), (2, 3))
    yield case("Shape", (3, 4))
    yield case("Size", (3, 4))
    yield case("GlobalLpPool", (2, 6, 3, 3))
    yield case("LpPool", (2, 6, 3, 3), kernel_shape=[2, 2])
    yield case("PRelu", (2, 6, 3), (6, 1))
    yield case("Gemm", (5, 4), (5, 3), (3,), transA=1)
    yield case("Gemm", (4, 5), (3, 5), (4, 1), transB=1)
    yield case("MatMul", (2, 1, 4, 5), (3, 5, 6))
    yield case("MatMul", (5,), (3, 5, 6))
    yield case("Softmax", (2, 3, 4), opset=11, axis=1)
    yield case("Softmax", (2, 3, 4), opset=11)
    yield case("Concat", (2, 3), (2, 5), (2, 4), axis=-1)
    yield case("Dropout", (3, 4))
    yield case("LpNormalization", (3, 4), axis=0, p=1)
    none, scales = np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32)
    yield case("Resize", (2, 3, 4, 4), none, scales, mode="linear")
    yield case("Resize", (2, 3, 4, 4), none, scales, mode="cubic", opset=11)
    yield case("Resize", (2, 3, 4, 4), none, none, np.array([2, 3, 7, 5]))
    yield case("Resize", (2, 3, 4, 4), scales, opset=10)
    yield case("Upsample", (2, 3, 4, 4), scales, opset=9)
    skewed = np.array([1, 1.2, 1, 1], np.float32)  # the channels are resampled, 3 remain
    yield case("Resize", (2, 3, 4, 4), none, skewed, mode="nearest")
