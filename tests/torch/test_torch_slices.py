"""What an operator does with missing entries is what it does without these entries.

For every operator, over ONNX's own node test cases and a few more: slices of its operands are
removed, by one axis or by several of one size together. Either the twin refuses, or it answers
what the operator answers for the smaller operands. Removals that the operator lets pass must exist.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations, islice
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, normal, proto  # noqa: E402
from test_torch_nodes import BY_BODY, CONTROL, SEQUENCES, array, cases, exception_for  # noqa: E402

from onnxprune.torch import Interpreter, LeakError, UnsupportedOperator  # noqa: E402
from onnxprune.torch.errors import Leak  # noqa: E402
from onnxprune.torch.masked import compress  # noqa: E402
from onnxprune.torch.operators import supported  # noqa: E402
from onnxprune.torch.tensors import to_numpy, to_torch  # noqa: E402

pytestmark = pytest.mark.torch

# Operators that choose entries by their original positions or are told sizes, so that a smaller
# graph has other numbers: what is present must be what it was when nothing was missing.
MOVERS = {
    *("CenterCropPad", "Compress", "DepthToSpace", "Expand", "Gather", "GatherElements"),
    *("GatherND", "Reshape", "RotaryEmbedding", "Scatter", "ScatterElements", "ScatterND"),
    *("Slice", "SpaceToDepth", "Split", "TensorScatter"),
}

# Operators with an answer that is meant to differ, and why.
EXCEPTIONS = {
    "AffineGrid": "is told the size of its batch",
    "Attention": "keeps the scale of the original size",
    "LinearAttention": "keeps the number and size of its heads",
    "NegativeLogLikelihoodLoss": "targets are classes by number",
    "Shape": "tells original sizes",
    "Size": "tells original sizes",
    "SoftmaxCrossEntropyLoss": "targets are classes by number",
}

# Operators without an axis of which a slice could be removed.
ALL_OR_NOTHING = {
    *("BlackmanWindow", "ConstantOfShape", "EyeLike", "HammingWindow", "HannWindow", "Loop"),
    *("MaxUnpool", "MelWeightMatrix", "NonMaxSuppression", "NonZero", "Range", "Unique"),
}

ATTRIBUTES = ("group", "num_groups", "offset_group")

# Nodes in the shapes that slices need, where ONNX's cases have but one channel.
IMAGE = normal(2, 4, 5, 6)
MORE: dict[str, Arrays] = {
    "Conv<group=2>(x, w, b)": {"x": IMAGE, "w": normal(6, 2, 2, 2), "b": normal(6)},
    "Conv<group=4>(x, w)": {"x": IMAGE, "w": normal(8, 1, 3, 3)},
    "Conv(x, w, b)": {"x": normal(2, 4, 7), "w": normal(3, 4, 2), "b": normal(3)},
    "Conv(x, w, b) ": {"x": normal(1, 4, 3, 4, 5), "w": normal(3, 4, 2, 2, 2), "b": normal(3)},
    "ConvTranspose<group=2>(x, w, b)": {"x": IMAGE, "w": normal(4, 2, 2, 2), "b": normal(4)},
    "ConvInteger(x, w, z)": {
        "x": (IMAGE * 20).astype(np.int8),
        "w": (normal(3, 4, 2, 2) * 20).astype(np.int8),
        "z": np.array(3, np.int8),
    },
    "QLinearConv(x, s, z, w, v, n, s, z, b)": {
        "x": (IMAGE * 20).astype(np.int8),
        "s": np.array(0.5, np.float32),
        "z": np.array(3, np.int8),
        "w": (normal(3, 4, 2, 2) * 20).astype(np.int8),
        "v": np.abs(normal(3)) / 50,
        "n": np.zeros(3, np.int8),
        "b": (normal(3) * 20).astype(np.int32),
    },
    "DeformConv<group=2, offset_group=2>(x, w, o, b, m)": {
        "x": IMAGE,
        "w": normal(6, 2, 2, 2),
        "o": normal(2, 16, 4, 5),
        "b": normal(6),
        "m": normal(2, 8, 4, 5),
    },
    'GridSample<mode="cubic">(x, g)': {"x": IMAGE, "g": normal(2, 3, 7, 2)},
    'GridSample<mode="linear">(x, g)': {"x": normal(1, 3, 4, 5, 6), "g": normal(1, 2, 3, 4, 3)},
    "RoiAlign<output_height=2, output_width=3>(x, r, i)": {
        "x": IMAGE,
        "r": np.abs(normal(3, 4)) * 4,
        "i": np.array([0, 1, 1]),
    },
    'RoiAlign<mode="max", sampling_ratio=2, output_width=3>(x, r, i)': {
        "x": IMAGE,
        "r": np.abs(normal(3, 4)) * 4,
        "i": np.array([0, 1, 1]),
    },
    "MaxRoiPool<pooled_shape=[2,3]>(x, r)": {
        "x": IMAGE,
        "r": np.array([[0, 1, 1, 3, 4], [1, 0, 2, 5, 4]], np.float32),
    },
    "MaxPool<kernel_shape=[2,3], pads=[0,1,1,1], strides=[2,1]>(x)": {"x": IMAGE},
    "MaxPool<kernel_shape=[2,2], dilations=[1,2], storage_order=1>(x)": {"x": IMAGE},
    "MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i)": {
        "x": normal(1, 1, 2, 2),
        "i": np.array([[[[0, 3], [8, 15]]]]),
    },
    "Col2Im(x, s, k)": {"x": normal(2, 12, 20), "s": np.array([5, 6]), "k": np.array([2, 2])},
    "ReverseSequence(x, n)": {"x": normal(4, 3, 5), "n": np.array([4, 2, 1])},
    "STFT(x, s, w)": {"x": normal(3, 16, 1), "s": np.array(4), "w": normal(8)},
    "DFT(x)": {"x": normal(2, 3, 8, 1)},
    "Det(x)": {"x": normal(3, 4, 4)},
    "GlobalLpPool(x)": {"x": IMAGE},
    "LRN<size=3>(x)": {"x": IMAGE},
    "TopK<axis=2>(x, k)": {"x": IMAGE, "k": np.array([2])},
    'Resize<mode="cubic">(x, e, s)': {
        "x": IMAGE,
        "e": np.zeros(0, np.float32),
        "s": np.array([1, 1, 1.7, 0.6], np.float32),
    },
    "Upsample(x, s)": {"x": IMAGE, "s": np.array([1, 1, 2, 1.5], np.float32)},
    "ScatterElements<axis=2>(x, i, u)": {
        "x": IMAGE,
        "i": np.arange(3)[:, None].repeat(8, 0).reshape(2, 4, 3, 1).repeat(6, 3),
        "u": normal(2, 4, 3, 6),
    },
    "ScatterND(x, i, u)": {"x": IMAGE, "i": np.array([[1], [0]]), "u": normal(2, 4, 5, 6)},
    "TensorScatter(x, u, s)": {"x": IMAGE, "u": normal(2, 4, 2, 6), "s": np.array([0, 3])},
}

# The operators that are not ONNX's have tests of their own.
KNOWN = {kind for kind in supported() if onnx.defs.has(kind)}
KINDS = sorted({*KNOWN, *BY_BODY, *CONTROL} - EXCEPTIONS.keys() - SEQUENCES)

Trial = list[tuple[str, int]]


def few(kind: str) -> list[tuple[str, onnx.ModelProto]]:
    """Models of one node of an operator, all of whose operands are initializers."""
    models = []
    for node, weights in MORE.items():
        if node.partition("(")[0].partition("<")[0] == kind:
            count = 2 if kind in ("MaxPool", "TopK") else 1
            names = ", ".join(f"float[a] y{i}" for i in range(count))
            results = ", ".join(f"y{i}" for i in range(count))
            body = f"m () => ({names}) {{ {results} = {node.strip()} }}"
            models.append((node, proto(body, weights, 24)))
    ours = len(models)
    for name, case in grouped().get(kind, ()):
        if len(models) == ours + 6:
            break
        given = [array(x) for x in case.data_sets[0][0]]
        if sum(x.size for x in given) > 20_000:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for value, x in zip(model.graph.input, given, strict=False):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(x), value.name))
        models.append((name, model))
    return models


@cache
def grouped() -> dict[str, list[tuple[str, Any]]]:
    """The node cases by operator, those of most axes first."""
    result = defaultdict(list)
    for name, case in cases().items():
        if exception_for(name) is None:
            result[case.model.graph.node[0].op_type].append((name, case))
    for group in result.values():
        group.sort(key=lambda pair: -sum(len(array(x).shape) for x in pair[1].data_sets[0][0]))
    return result


def trials(shapes: dict[str, tuple[int, ...]]) -> Iterator[Trial]:
    """Each axis alone, and axes of one size together."""
    sizes = defaultdict(list)
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            if size > 1:
                sizes[size].append((name, axis))
                yield [(name, axis)]
    for count in range(2, 7):
        for slots in sizes.values():
            yield from map(list, islice(combinations(slots, count), 15))


def groups_of(model: onnx.ModelProto) -> int:
    attributes = model.graph.node[0].attribute
    return max([a.i for a in attributes if a.name in ATTRIBUTES], default=1)


def some(random: np.random.Generator, size: int, groups: int) -> np.ndarray | None:
    """Indices to remove, as many of each group; None if a group would be left empty."""
    groups = groups if size % groups == 0 else 1
    each = size // groups
    if each < 2:
        return None
    count = int(random.integers(1, each // 2 + 1))
    chosen = [np.sort(random.choice(each, count, replace=False)) + i * each for i in range(groups)]
    return np.concatenate(chosen)


def check(interpreter: Interpreter, removed: dict[str, dict[int, np.ndarray]], moves: bool) -> None:
    """The twin answers for the whole operands what the operator does for the smaller ones."""
    original = dict(interpreter.parameters)
    masked = interpreter.run({}, removed)
    if moves:
        whole = interpreter.run({})
        for name, result in masked.items():
            wanted = to_numpy(compress(type(result)(whole[name].value, result.levels)))
            np.testing.assert_array_equal(to_numpy(compress(result)), wanted)
        return
    for name, axes in removed.items():
        value = to_numpy(original[name])
        for axis, indices in axes.items():
            value = np.delete(value, indices, axis)
        interpreter.parameters[name] = to_torch(value)
    try:
        wanted = {name: to_numpy(result.value) for name, result in interpreter.run({}).items()}
    finally:
        interpreter.parameters.update(original)
    for name, result in masked.items():
        got = to_numpy(compress(result))
        assert got.shape == wanted[name].shape, name
        wide = [x.astype(np.float64) for x in (got, wanted[name])]
        np.testing.assert_allclose(*wide, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_removing_entries_from_operands(kind: str) -> None:
    random = np.random.default_rng(0)
    passed = 0
    for name, model in few(kind):
        interpreter = Interpreter(ir.from_proto(model))
        shapes = {n: tuple(x.shape) for n, x in interpreter.parameters.items()}
        groups = groups_of(model)
        for trial in islice(trials(shapes), 80):
            gone = some(random, shapes[trial[0][0]][trial[0][1]], groups)
            if gone is None:
                continue
            removed: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
            for operand, axis in trial:
                removed[operand][axis] = gone
            try:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check(interpreter, removed, kind in MOVERS)
            except (Leak, LeakError, UnsupportedOperator):
                continue
            except Exception as error:
                raise AssertionError(f"{name}, without {dict(removed)}") from error
            passed += 1
    assert bool(passed) != (kind in ALL_OR_NOTHING)
