"""The interpreter by itself: gradients, old versions, and what is stored where entries miss."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, answers, model, normal  # noqa: E402

from onnxprune.torch import Interpreter  # noqa: E402
from onnxprune.torch.tensors import to_numpy, to_torch  # noqa: E402

pytestmark = pytest.mark.torch

SQUARE = normal(3, 4)

ENTRYWISE = sorted(
    {
        *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh"),
        *("Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log"),
        *("Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh"),
        *("Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu"),
    }
)


def test_gradients_reach_every_initializer_by_name() -> None:
    body = """m (float[2,8] x) => (float y) {
        a = Gemm<transB=1>(x, w0, b0)
        n = LayerNormalization(a, s, t)
        r = Gelu(n)
        m = MatMul(r, w1)
        y = ReduceMean<keepdims=0>(m)
    }"""
    weights = {
        "w0": normal(6, 8),
        "b0": normal(6),
        "s": normal(6, seed=1),
        "t": normal(6, seed=2),
        "w1": normal(6, 3),
    }
    interpreter = Interpreter(model(body, weights))
    for name, tensor in interpreter.parameters.items():
        interpreter.parameters[name] = tensor.double().requires_grad_()
    x = torch.from_numpy(normal(2, 8)).double()
    interpreter.run({"x": x})["y"].value.backward()

    def loss(**given: torch.Tensor) -> torch.Tensor:
        a = torch.nn.functional.linear(x, given["w0"], given["b0"])
        n = torch.nn.functional.layer_norm(a, (6,), given["s"], given["t"])
        return (torch.nn.functional.gelu(n) @ given["w1"]).mean()

    copies = {n: torch.from_numpy(w).double().requires_grad_() for n, w in weights.items()}
    loss(**copies).backward()
    assert set(interpreter.parameters) == set(weights)
    for name, tensor in interpreter.parameters.items():
        torch.testing.assert_close(tensor.grad, copies[name].grad)


def test_gradients_are_finite_and_zero_where_entries_miss() -> None:
    body = """m (float[2,8] x) => (float y) {
        a = MatMul(x, w0)
        q = Mul(a, a)
        d = Div(a, q)
        s = Sqrt(q)
        l = Log(s)
        e = Add(d, l)
        p = Softmax(e)
        b = MatMul(p, w1)
        y = ReduceSum<keepdims=0>(b)
    }"""
    interpreter = Interpreter(model(body, {"w0": normal(8, 6), "w1": normal(6, 3)}))
    for tensor in interpreter.parameters.values():
        tensor.requires_grad_()
    gone = np.array([2, 4])
    run = interpreter.run({"x": normal(2, 8)}, {"w0": {1: gone}, "w1": {0: gone}})
    run["y"].value.backward()
    w0, w1 = (interpreter.parameters[n].grad for n in ("w0", "w1"))
    assert w0 is not None
    assert w1 is not None
    assert torch.isfinite(w0).all()
    assert torch.isfinite(w1).all()
    assert not w0[:, gone].any()
    assert not w1[gone].any()


@pytest.mark.parametrize(
    "node",
    [
        *(f"{name}(w)" for name in ENTRYWISE),
        "Clip(w, one, two)",
        "Add(w, one)",
        "Sub(one, w)",
        "Mul(w, one)",
        "Div(one, w)",
        "Div(w, row)",
        "Pow(row, w)",
        "Pow(two, w)",
        "Max(w, row, one)",
        "Mean(w, one)",
        "Mod<fmod=1>(w, row)",
        "PRelu(w, row)",
        "Where(yes, one, w)",
        "Softmax(w)",
        "Softmax<axis=0>(w)",
        "LogSoftmax(w)",
        "Hardmax(w)",
        "CumSum(w, axis)",
        "CumSum(w, zeroth)",
        "LayerNormalization(w, row, row)",
        "LpNormalization(w)",
        "Dropout(w)",
        "Identity(w)",
    ],
)
def test_missing_entries_hold_zero_and_others_do_not_notice(node: str) -> None:
    weights = {
        "w": np.abs(SQUARE) / 4,
        "row": np.abs(normal(4)) + 0.5,
        "one": np.array(1, np.float32),
        "two": np.array(2, np.float32),
        "yes": np.array(True),
        "axis": np.array(1),
        "zeroth": np.array(0),
    }
    if "Acosh" in node:
        weights["w"] = weights["w"] + 1
    gone = np.array([1, 2])
    removed = {"w": {1: gone}, **({"row": {0: gone}} if "row" in node else {})}
    body = f"m () => (float[3,4] y) {{ y = {node} }}"
    result = Interpreter(model(body, weights, 22)).run({}, removed)["y"]
    value, present = to_numpy(result.value), result.present
    assert present is not None
    assert present.expand(3, 4)[0].tolist() == [True, False, False, True]
    assert not value[:, gone].any()
    small = {
        **weights,
        "w": np.delete(weights["w"], gone, 1),
        "row": np.delete(weights["row"], gone),
    }
    want = Interpreter(model(body, small, 22)).run({})["y"]
    np.testing.assert_allclose(value[:, [0, 3]], to_numpy(want.value), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "node",
    [
        "Reshape(w, s38)",
        "Reshape(w, s2_2_6)",
        "Transpose<perm=[2,0,1]>(w)",
        "Flatten<axis=2>(w)",
        "Unsqueeze(w, axis)",
        "Slice(w, one, three, axis)",
        "Slice(w, three, minus, axis, minus2)",
        "Gather<axis=1>(w, pick)",
        "Gather<axis=2>(w, pick)",
        "GatherElements<axis=1>(w, elements)",
        "GatherND(w, nd)",
        "Concat<axis=0>(w, w)",
        "Concat<axis=1>(w, w)",
        "Tile(w, repeats)",
        "Expand(w, wider)",
        "Split<axis=1, num_outputs=2>(w)",
        "Compress<axis=1>(w, which)",
        "DepthToSpace<blocksize=2>(image)",
        'DepthToSpace<blocksize=2, mode="CRD">(image)',
        "SpaceToDepth<blocksize=2>(image)",
        'Pad<mode="edge">(w, last)',
        "ScatterElements<axis=1>(w, elements, fresh)",
        "ScatterND(w, nd, rows)",
        "Identity(w)",
    ],
)
@pytest.mark.parametrize("gone", [{1: [1]}, {1: [0, 3]}, {0: [1], 1: [2]}])
def test_presence_moves_as_values_do(node: str, gone: dict[int, list[int]]) -> None:
    fixed: Arrays = {
        "s38": np.array([3, 8]),
        "s2_2_6": np.array([2, 2, 6]),
        "axis": np.array([1]),
        "one": np.array([1]),
        "three": np.array([3]),
        "minus": np.array([-100]),
        "minus2": np.array([-2]),
        "pick": np.array([[0, 2], [-1, 1]]),
        "elements": np.array([[[0, 2, -1]], [[1, 1, 3]]]) * np.ones((2, 4, 3), np.int64),
        "nd": np.array([[0, 1], [1, 3]]),
        "rows": np.zeros((2, 3), np.float32),
        "fresh": np.zeros((2, 4, 3), np.float32),
        "repeats": np.array([2, 2, 1]),
        "wider": np.array([3, 2, 4, 3]),
        "which": np.array([True, False, True, True]),
        "last": np.array([0, 0, 2, 0, 0, 1]),
    }
    name, shape = ("image", (2, 4, 2, 6)) if "image" in node else ("w", (2, 4, 3))
    whole = np.ones(shape, np.float32)
    holes = whole.copy()
    for axis, indices in gone.items():
        np.swapaxes(holes, 0, axis)[indices] = 0
    body = f"m () => (float[a] y) {{ {'y, z' if 'Split' in node else 'y'} = {node} }}"
    removed = {name: {axis: np.array(indices) for axis, indices in gone.items()}}
    along = {axis: np.array(indices) for axis, indices in gone.items() if axis != 1}
    removed |= {other: along for other in ("elements", "fresh") if f", {other}" in node}
    holes_in_fresh = fixed["fresh"].copy()
    for axis, index in along.items():
        np.swapaxes(holes_in_fresh, 0, axis)[index] = 1
    masked = Interpreter(model(body, {**fixed, name: whole})).run({}, removed)["y"]
    # zeros moved about as values, and padding told from them
    zeros: Arrays = {**fixed, name: 1 - holes, "fresh": holes_in_fresh}
    moved = Interpreter(model(body, zeros)).run({})["y"].value == 0
    present = masked.present
    assert present is not None or bool(moved.all())
    if present is not None:
        assert torch.equal(present.expand(moved.shape), moved)
    assert not bool((masked.value * ~moved).any())


@pytest.mark.parametrize(
    ("opset", "node"),
    [
        (7, "BatchNormalization(image, v, v, v, v)"),
        (7, "Dropout<ratio=0.3>(image)"),
        (9, "Slice<starts=[1,-3], ends=[3,1000], axes=[1,-1]>(image)"),
        (7, 'Upsample<mode="nearest", scales=[1.0,1.0,2.0,3.0]>(image)'),
        (9, 'Upsample<mode="linear">(image, scales)'),
        (10, 'Resize<mode="nearest">(image, scales)'),
        (10, 'Resize<mode="linear">(image, scales)'),
        (11, "Softmax<axis=1>(image)"),
        (11, "LogSoftmax<axis=2>(image)"),
        (7, "Hardmax(image)"),
        (11, "Squeeze<axes=[0]>(single)"),
        (11, "Unsqueeze<axes=[0,-1]>(image)"),
        (11, "ReduceSum<axes=[1,-1], keepdims=0>(image)"),
        (13, "ReduceMean<axes=[2]>(image)"),
        (13, "ReduceMax(image)"),
        (11, "Split<axis=1, split=[1,3]>(image)"),
        (7, "Clip<min=-0.5, max=0.25>(image)"),
        (10, "Pad<pads=[0,0,1,2,0,0,3,0], value=1.5>(image)"),
        (7, 'Pad<mode="reflect", pads=[0,0,1,2,0,0,3,0]>(image)'),
        (9, "TopK<axis=1, k=2>(image)"),
        (12, "ArgMax<axis=1, select_last_index=1>(image)"),
        (18, "GroupNormalization<num_groups=2>(image, halves, halves)"),
        (12, "Gemm<alpha=0.5, transA=1>(square, square, square)"),
        (11, "Flatten<axis=-2>(image)"),
    ],
)
def test_old_versions_of_operators(opset: int, node: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from masked_models import proto

    image = normal(2, 4, 5, 6)
    weights: Arrays = {
        "v": np.abs(normal(4)) + 0.1,
        "halves": normal(2),
        "scales": np.array([1, 1, 2, 1.5], np.float32),
        "single": normal(1, 3, 1),
        "square": normal(3, 3),
    }
    weights = {n: v for n, v in weights.items() if n in node}
    results = "y, z" if node.startswith(("Split", "TopK")) else "y"
    kind = "int64" if node.startswith("Arg") else "float"
    body = f"m (float[2,4,5,6] image) => ({kind}[...] y) {{ {results} = {node} q = Neg(image) }}"
    body = body.replace("[...]", "")
    made = proto(body, weights, opset)
    made.ir_version = 7
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    [want] = session.run(["y"], {"image": image})
    got = Interpreter(model(body, weights, opset)).run({"image": image})["y"]
    np.testing.assert_allclose(to_numpy(got.value), want, rtol=1e-4, atol=1e-5)


def test_constant_nodes_are_parameters() -> None:
    body = """m (float[3] x) => (float[3] y) {
        c = Constant<value_floats=[1.0, 2.0, 4.0]>()
        y = Mul(x, c)
    }"""
    interpreter = Interpreter(model(body, {}))
    assert interpreter.parameters["c"].tolist() == [1, 2, 4]
    feeds = {"x": normal(3)}
    want = answers(body, {}, feeds)["y"]
    np.testing.assert_array_equal(to_numpy(interpreter.run(feeds)["y"].value), want)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch_reads_values_from_outside(sign: int) -> None:
    body = """m (float[3] x) => (float[3] y) {
        a = Mul(x, w)
        s = ReduceSum<keepdims=0>(x)
        c = Greater(s, zero)
        y = If (c) <
            then_branch = yes () => (float[3] p) { p = Add(a, w) },
            else_branch = no () => (float[3] q) { q = Neg(a) }
        >
    }"""
    weights = {"w": normal(3), "zero": np.array(0, np.float32)}
    feeds = {"x": sign * np.abs(normal(3))}
    got = Interpreter(model(body, weights)).run(feeds)["y"]
    want = answers(body, weights, feeds)["y"]
    np.testing.assert_allclose(to_numpy(got.value), want, rtol=1e-6)


def test_shapes_are_the_original_ones() -> None:
    body = """m (float[2,8] x) => (int64[2] y, int64 z) {
        a = MatMul(x, w)
        y = Shape(a)
        z = Size(a)
    }"""
    interpreter = Interpreter(model(body, {"w": normal(8, 6)}))
    run = interpreter.run({"x": normal(2, 8)}, {"w": {1: np.array([0, 1])}})
    assert run["y"].value.tolist() == [2, 6]
    assert int(run["z"].value) == 12


def test_an_array_that_runs_backwards_becomes_a_tensor() -> None:
    assert to_torch(np.arange(3)[::-1]).tolist() == [2, 1, 0]


def test_the_package_does_not_import_torch() -> None:
    code = "import sys, onnxprune; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
