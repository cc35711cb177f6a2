"""Nodes as matrix products, against what onnxruntime computes."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import feeds_of, proto, run, to_proto
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onnxprune.graph import Graph, load
from onnxprune.ops import Linear, linear_of

SIZES = st.integers(1, 3)


def _linear(graph: Graph) -> tuple[ir.Node, Linear]:
    """The first node that is a product."""
    for node in graph.model.graph:
        if (form := linear_of(node, graph)) is not None:
            return node, form
    raise AssertionError("there is no product")


def _constant(graph: Graph, node: ir.Node, slot: int | None) -> np.ndarray | None:
    value = node.inputs[slot] if slot is not None and slot < len(node.inputs) else None
    if value is None:
        return None
    assert value.const_value is not None
    return value.const_value.numpy().astype(np.float64)


def _check(model: onnx.ModelProto, seed: int = 0) -> Linear:
    """``rows @ matrix + bias`` is what onnxruntime gives, for all rows and for some."""
    graph = load(model)
    node, form = _linear(graph)
    feeds = feeds_of(model)
    answer = run(to_proto(graph), feeds)["y"]
    data = feeds["x"]
    weight = _constant(graph, node, form.weight)
    assert weight is not None
    matrix = form.matrix(weight)
    bias = _constant(graph, node, form.bias)
    wide = (form.groups, 1, matrix.shape[2])
    vector = np.broadcast_to(0.0 if bias is None else bias.reshape(-1), math.prod(wide))
    count = answer.size // answer.shape[form.channels]
    random = np.random.default_rng(seed)
    some = random.choice(count, random.integers(1, count, endpoint=True), replace=False)
    for picked in (np.arange(count), some):
        rows = form.rows(data.astype(np.float64), answer.shape, picked)
        assert rows.shape == (form.groups, len(picked), matrix.shape[1])
        wanted = form.results(answer, picked)
        found = rows @ matrix + vector.reshape(wide)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(form.stored(matrix, weight.shape), weight)
    _check_columns(form, weight, matrix, data, answer.shape)
    return form


def _check_columns(
    form: Linear,
    weight: np.ndarray,
    matrix: np.ndarray,
    data: np.ndarray,
    results: tuple[int, ...],
) -> None:
    """An index of the weight's axis owns just the columns that it fills, in rows and matrix."""
    size = matrix.shape[1] // form.owned
    length = weight.shape[form.weight_axis] * (form.groups if form.weight_axis == 1 else 1)
    if form.groups == 1:
        length = weight.shape[form.weight_axis]
    axis = 1 if data.ndim > 2 and len(results) > 2 and form.channels == 1 else -1
    picked = np.arange(math.prod(results) // results[form.channels])
    for position in range(length):
        group, columns = form.columns(np.array([position]), size)
        assert group.shape == columns.shape == (1, form.owned)
        owned = np.zeros((form.groups, matrix.shape[1]), bool)
        owned[group, columns] = True
        alone = np.zeros(data.shape)
        np.moveaxis(alone, axis, 0)[position] = 1
        filled = form.rows(alone, results, picked).any(axis=1)
        assert not filled[~owned].any()
        if weight.shape[form.weight_axis] == length:
            marked = np.zeros(weight.shape, bool)
            np.moveaxis(marked, form.weight_axis, 0)[position] = True
            np.testing.assert_array_equal(form.matrix(marked).any(axis=2), owned)


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool) -> tuple[str, str]:
    """A model and the shapes of its weights, in text."""
    rank, groups = draw(SIZES), draw(SIZES)
    inside, outside = draw(SIZES), draw(SIZES)
    kernel = [draw(SIZES) for _ in range(rank)]
    strides = [draw(SIZES) for _ in range(rank)]
    padding = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER", "VALID", ""]))
    undilated = not transposed and padding.startswith("SAME")  # onnxruntime does no such thing
    dilations = [1 if undilated else draw(st.integers(1, 2)) for _ in range(rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [draw(st.integers(max(r, 2), r + 4)) for r in reach]
    attributes = [f"group={groups}", f"strides={strides}", f"dilations={dilations}"]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    if padding == "pads":
        attributes.append(f"pads={pads}")
    elif padding:
        attributes.append(f'auto_pad="{padding}"')
    if transposed:
        added = [draw(st.integers(0, s - 1)) for s in strides]
        whole = [
            s * (n - 1) + r + a for s, n, r, a in zip(strides, sizes, reach, added, strict=True)
        ]
        if padding == "pads":
            assume(all(w > pads[i] + pads[i + rank] for i, w in enumerate(whole)))
        if padding in ("SAME_UPPER", "SAME_LOWER", "") and draw(st.booleans()):
            asked = [w - draw(st.integers(0, min(3, w - 1))) for w in whole]
            attributes.append(f"output_shape={asked}")
        if any(added):
            attributes.append(f"output_padding={added}")
    first, second = (inside * groups, outside) if transposed else (outside * groups, inside)
    shapes = f"w {first} {second} {' '.join(map(str, kernel))}"
    bias = draw(st.booleans())
    if bias:
        shapes += f", b {outside * groups}"
    text = ",".join(["N", str(inside * groups), *map(str, sizes)])
    free = ",".join("abcde"[: rank + 2])
    operator = "ConvTranspose" if transposed else "Conv"
    return (
        f"(float[{text}] x) => (float[{free}] y) {{ "
        f"y = {operator}<{', '.join(attributes)}>(x, w{', b' if bias else ''}) }}",
        shapes,
    )


@settings(max_examples=100)
@given(convolutions(transposed=False), st.integers(0, 9))
def test_a_convolution_is_its_windows_times_a_matrix(texts: tuple[str, str], seed: int) -> None:
    _check(proto(*texts), seed)


@settings(max_examples=100)
@given(convolutions(transposed=True), st.integers(0, 9))
def test_so_is_a_transposed_one(texts: tuple[str, str], seed: int) -> None:
    _check(proto(*texts), seed)


@pytest.mark.parametrize("padding", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [4, 7, 9])
def test_a_size_that_is_asked_for_decides_what_is_cut_or_added(padding: str, size: int) -> None:
    asked = f'strides=[3], auto_pad="{padding}", output_shape=[{size}]'
    _check(
        proto(
            f"(float[N,2,3] x) => (float[N,2,b] y) {{ y = ConvTranspose<{asked}>(x, w) }}",
            "w 2 2 1",
        )
    )


@settings(max_examples=20)
@given(st.lists(SIZES, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 4))
def test_a_matrix_product_takes_the_vectors_of_its_last_axis(
    outer: list[int], columns: int, results: int
) -> None:
    sizes = ",".join(map(str, [*outer, columns]))
    free = ",".join("abcde"[: len(outer) + 1])
    form = _check(
        proto(
            f"(float[{sizes}] x) => (float[{free}] y) {{ y = MatMul(x, w) }}",
            f"w {columns} {results}",
        )
    )
    assert (form.groups, form.owned, form.weight_axis, form.bias) == (1, 1, 0, None)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", ["", "b 5", "b 1", "b 1 5"])
def test_gemm_holds_its_weight_either_way_and_perhaps_a_bias(transposed: int, bias: str) -> None:
    taken = "x, w, b" if bias else "x, w"
    form = _check(
        proto(
            f"(float[N,4] x) => (float[N,5] y) {{ y = Gemm<transB={transposed}>({taken}) }}",
            f"w {'5 4' if transposed else '4 5'}, {bias}".rstrip(", "),
        )
    )
    assert form.weight_axis == transposed


def test_results_are_in_the_order_of_the_picks() -> None:
    form = _check(proto("(float[2,4,3,3] x) => (float[2,6,3,3] y) { y = Conv(x, w) }", "w 6 4 1 1"))
    gave = np.random.default_rng(0).standard_normal((2, 6, 3, 3))
    found = form.results(gave, np.array([17, 4, 4]))
    wanted = [gave[1, :, 2, 2], gave[0, :, 1, 1], gave[0, :, 1, 1]]
    np.testing.assert_array_equal(found, [wanted])


def test_columns_belong_to_the_group_of_their_position() -> None:
    form = _check(
        proto(
            "(float[1,6,5,5] x) => (float[1,4,3,3] y) { y = Conv<group=2>(x, w) }",
            "w 4 3 3 3",
        )
    )
    group, columns = form.columns(np.array([2, 3, 5]), 3)
    assert group.tolist() == [[0] * 9, [1] * 9, [1] * 9]
    assert columns.tolist() == [list(range(18, 27)), list(range(9)), list(range(18, 27))]


NO_PRODUCTS = {
    "scaled": "(float[N,4] x) => (float[N,5] y) { y = Gemm<alpha=0.5>(x, w) }",
    "its bias scaled": "(float[N,4] x) => (float[N,5] y) { y = Gemm<beta=0.5>(x, w, b) }",
    "its rows transposed": "(float[4,N] x) => (float[N,5] y) { y = Gemm<transA=1>(x, w) }",
    "a stack of matrices": "(float[3,N,4] x) => (float[3,N,5] y) { y = MatMul(x, stack) }",
    "times a vector": "(float[N,4] x) => (float[N] y) { y = MatMul(x, b4) }",
    "of two inputs": "(float[N,4] x, float[4,5] w) => (float[N,5] y) { y = MatMul(x, w) }",
    "a weight on the left": "(float[5,3] x) => (float[4,3] y) { y = MatMul(w, x) }",
    "a weight that is computed": (
        "(float[N,4] x) => (float[N,5] y) { v = Mul(w, x2) y = MatMul(x, v) }"
    ),
    "of whole numbers": "(int32[N,4] x) => (int32[N,5] y) { y = MatMul(x, whole) }",
    "something else": "(float[N,4] x) => (float[N,4] y) { y = Relu(x) }",
}


@pytest.mark.parametrize("name", NO_PRODUCTS)
def test_what_is_no_product_with_one_weight_has_no_form(name: str) -> None:
    text = NO_PRODUCTS[name]
    if "x2" in text:
        text = text.replace("x) =>", "x, float x2) =>")
    weights = {
        "w": np.ones((4, 5), np.float32),
        "b": np.ones(5, np.float32),
        "b4": np.ones(4, np.float32),
        "stack": np.ones((3, 4, 5), np.float32),
        "whole": np.ones((4, 5), np.int32),
    }
    used = {n: a for n, a in weights.items() if f"{n}," in text or f" {n})" in text}
    if "[4,5] w" in text:
        del used["w"]
    graph = load(proto(text, **used))
    assert [linear_of(node, graph) for node in graph.model.graph] == [None] * len(graph.nodes)
