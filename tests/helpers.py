"""Models in ONNX text with random weights, pruned and compared with a zero-masked original."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from onnxprune import rewrite
from onnxprune.choice import sample
from onnxprune.graph import Graph, load
from onnxprune.units import Units, find_units

Arrays = dict[str, np.ndarray]
Mask = Sequence[bool] | np.ndarray

_DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}


def proto(
    body: str, shapes: str = "", opset: int = 21, seed: int = 0, **weights: object
) -> onnx.ModelProto:
    """A model from ``(inputs) => (outputs) { nodes }``.

    Args:
        body: ONNX text; what it reads and nothing computes is a weight.
        shapes: Weights of random floats, as in ``"w 8 3 1 1, b 8"``.
        opset: The version of the operator set.
        seed: Of the random weights.
        weights: More weights: a shape, or an array.
    """
    ir_version = 4 if opset < 10 else 10
    domains = sorted(set(re.findall(r"= ([a-z]\w*(?:\.\w+)*)\.[A-Z]\w*\s*[<(]", body)))
    imports = ", ".join([f'"" : {opset}', *(f'"{domain}" : 1' for domain in domains)])
    model = onnx.parser.parse_model(
        f"<ir_version: {ir_version}, opset_import: [{imports}]> g {body}"
    )
    random = np.random.default_rng(seed)
    named = [
        (text.split()[0], [int(size) for size in text.split()[1:]])
        for text in shapes.split(",")
        if text
    ]
    for name, weight in [*named, *weights.items()]:
        array = weight
        if not isinstance(weight, np.ndarray):
            array = random.standard_normal(weight).astype(np.float32)  # type: ignore[call-overload]
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def ints(*numbers: int) -> np.ndarray:
    """A vector of int64."""
    return np.array(numbers, np.int64)


def units_of(model: onnx.ModelProto) -> Units:
    """The units of a model."""
    return find_units(load(model))


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> Arrays:
    """Run a model in onnxruntime as it is; a warning of onnxruntime is not tolerated."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def feeds_of(model: onnx.ModelProto, size: int = 3, seed: int = 1) -> Arrays:
    """Random inputs; every dynamic size is `size`."""
    random = np.random.default_rng(seed)
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or size for dim in tensor.shape.dim]
        array = random.standard_normal(shape)
        dtype = _DTYPES[tensor.elem_type]
        feeds[value.name] = (
            array.astype(dtype) if dtype().dtype.kind == "f" else _whole(shape, dtype)
        )
    return feeds


def _whole(shape: list[int], dtype: type) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 2, shape).astype(dtype)


def to_proto(graph: Graph) -> onnx.ModelProto:
    """The model of a graph."""
    return ir.to_proto(graph.model)


def zeroed(graph: Graph, small: Graph) -> onnx.ModelProto:
    """The original with everything zero that `small` has lost, by its record."""
    model = ir.to_proto(graph.model)
    record = rewrite.read_record(small.model)
    kept = {} if record is None else record.kept
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        for axis, indices in kept.get(tensor.name, {}).items():
            if indices and isinstance(indices[0], list):  # other ones in each row that stays
                rows = np.array(kept[tensor.name].get(0, range(len(array))))
                gone = np.ones(array.shape[:2], bool)
                gone[rows[:, None], np.array(indices)] = False
                array[gone] = 0
                continue
            gone = np.setdiff1d(np.arange(array.shape[axis]), indices)
            np.moveaxis(array, axis, 0)[gone] = 0
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return model


def signature(model: onnx.ModelProto) -> list[bytes]:
    """Inputs and outputs: names, types, shapes."""
    return [v.SerializeToString() for v in (*model.graph.input, *model.graph.output)]


def close(a: Arrays, b: Arrays) -> None:
    """Assert that two models answered the same."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].shape == b[name].shape, name
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)


def choose(units: Units, seed: int, ratio: float = 0.5) -> None:
    """Random masks for all mutable units; no tensor is left without any index."""
    sample(units, seed, (max(0.0, ratio - 0.3), min(1.0, ratio + 0.3)))


def check_pruned(model: onnx.ModelProto, units: Units, sizes: Sequence[int] = (2, 3)) -> Graph:
    """Prune by the units' choices; the result must answer as the zero-masked original does.

    Exact wherever no statistic runs over a pruned axis.
    """
    small = rewrite.prune(units)
    result = to_proto(small)
    onnx.checker.check_model(result, full_check=True)
    assert signature(result) == signature(to_proto(units.graph))
    masked = zeroed(units.graph, small)
    for size in sizes:
        feeds = feeds_of(model, size)
        close(run(result, feeds), run(masked, feeds))
    return small


def check_model(model: onnx.ModelProto, seeds: int = 3, sizes: Sequence[int] = (2, 3)) -> Units:
    """Prune a model by several random choices and compare; the units are returned."""
    units = units_of(model)
    for seed in range(seeds):
        choose(units, seed, (0.5, 0.8, 0.2)[seed % 3])
        check_pruned(model, units, sizes)
    for unit in units.mutable:
        unit.current_choice = unit.num_channels
    return units
