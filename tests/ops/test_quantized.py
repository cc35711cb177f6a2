"""Rules of quantised operators where blocks, packed bytes or integers ask for care."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import choose, close, feeds_of, ints, proto, run, to_proto, units_of

import onnxprune as op
from onnxprune.axes import Barred, Rule
from onnxprune.graph import load
from onnxprune.ops import macs_of, rules_for
from onnxprune.ops.stored import numbers, stored
from onnxprune.rewrite import prune
from onnxprune.verification import verify

RANDOM = np.random.default_rng(5)


def whole(dtype: type, *shape: int) -> np.ndarray:
    low, high = (0, 256) if dtype is np.uint8 else (-127, 128)
    return RANDOM.integers(low, high, shape).astype(dtype)


def steps(*shape: int) -> np.ndarray:
    return np.asarray(RANDOM.uniform(0.005, 0.02, shape), np.float32)


def rule_of(model: onnx.ModelProto, operator: str) -> Rule | Barred:
    graph = load(model)
    (node,) = (node for node in graph.model.graph if node.op_type == operator)
    return rules_for(graph)(node)


def sentence(model: onnx.ModelProto, operator: str) -> str:
    rule = rule_of(model, operator)
    assert isinstance(rule, Rule), rule
    return str(rule.parsed)


def proven(model: onnx.ModelProto, *sizes: int) -> None:
    """The units have these sizes, and lose channels with proof, in torch as well if it is there."""
    units = units_of(model)
    assert sorted(unit.num_channels for unit in units.mutable) == sorted(sizes)
    for seed in range(3):
        choose(units, seed, (0.5, 0.8, 0.2)[seed])
        verify(units, prune(units)).check()
        pytest.importorskip("torch")
        verify(units, prune(units), reference="torch").check()


DENSE = "(float[N,6] x) => (float[N,5] y) { d = DequantizeLinear%s(w, s, z) h = MatMul(x, d) %s }"


@pytest.mark.parametrize(
    ("attributes", "shape", "expected"),
    [
        ("<axis=1>", (32,), "a b, b, b -> a b"),
        ("<axis=-1>", (32,), "a b, b, b -> a b"),
        ("<axis=0>", (6,), "a b, a, a -> a b"),
        ("", (), "a b, ,  -> a b"),
        ("", (1,), "a b, 1, 1 -> a b"),
        ("<axis=1, block_size=4>", (6, 8), "a (b 4), a b, a b -> a (b 4)"),
        ("<axis=0, block_size=2>", (3, 32), "(a 2) b, a b, a b -> (a 2) b"),
        ("<axis=0, block_size=4>", (2, 32), "_ b, _ b, _ b -> _ b"),
    ],
)
def test_scales(attributes: str, shape: tuple[int, ...], expected: str) -> None:
    weights = {"w": whole(np.uint8, 6, 32), "s": steps(*shape), "z": whole(np.uint8, *shape)}
    body = DENSE % (attributes, "r = Relu(h) y = MatMul(r, v)")
    model = proto(body, "v 32 5", **weights)
    assert sentence(model, "DequantizeLinear") == expected
    proven(model, *([8] if expected.startswith("a (b 4)") else [32]))


def test_only_whole_blocks_of_a_contraction_go() -> None:
    """A scale for 4 inputs each: the 24 hidden channels are 6 blocks."""
    body = """(float[N,6] x) => (float[N,5] y) {
        h = MatMul(x, u) r = Relu(h) d = DequantizeLinear<axis=0, block_size=4>(w, s, z)
        y = MatMul(r, d)
    }"""
    weights = {"w": whole(np.int8, 24, 5), "s": steps(6, 5), "z": whole(np.int8, 6, 5)}
    proven(proto(body, "u 6 24", **weights), 6)


@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
def test_packed_types_stay_packed(kind: str) -> None:
    dtype = getattr(ir.DataType, kind)
    body = DENSE.replace(", z)", ")") % ("<axis=1>", "r = Relu(h) y = MatMul(r, v)")
    model = proto(body, "v 32 5", s=steps(32))
    low = -8 if kind == "INT4" else 0
    array = RANDOM.integers(low, low + 16, (6, 32)).astype(dtype.numpy())
    model.graph.initializer.append(ir.to_proto(ir.Tensor(array, dtype=dtype, name="w")))
    units = units_of(model)
    op.choose(units, op.ratio(0.5))
    small = prune(units)
    tensor = next(t for t in to_proto(small).graph.initializer if t.name == "w")
    assert (tensor.data_type, list(tensor.dims), len(tensor.raw_data)) == (int(dtype), [6, 16], 48)
    proven(model, 32)


def bits_model(bits: int, k: int, inputs: str, **weights: np.ndarray) -> onnx.ModelProto:
    """A product with weights of some bits in blocks of 16, between two plain ones."""
    blocks = -(-k // 16)
    body = f"""(float[2,6] x) => (float[2,5] y) {{
        a = MatMul(x, u) r = Relu(a)
        h = com.microsoft.MatMulNBits<K={k}, N=8, bits={bits}, block_size=16>(r, w, s{inputs})
        g = Relu(h) y = MatMul(g, v)
    }}"""
    packed = whole(np.uint8, 8, blocks, 2 * bits)
    scales = steps(8, blocks)
    return proto(body, f"u 6 {k}, v 8 5, b 8", w=packed, s=scales, **weights)


ODD = np.zeros((8, 2), np.uint8) + 0x79


@pytest.mark.parametrize(
    ("bits", "k", "inputs", "weights", "expected", "sizes"),
    [
        (4, 64, "", {}, "p0 (k 16), n k ..., n k, , , n -> p0 n", (4, 8)),
        (8, 64, "", {}, "p0 (k 16), n k ..., n k, , , n -> p0 n", (4, 8)),
        (4, 64, ", , , b", {}, "p0 (k 16), n k ..., n k, , , n -> p0 n", (4, 8)),
        (4, 64, ", z", {"z": ODD}, "p0 _, n _ ..., n _, n _, , n -> p0 n", (8,)),
        (
            8,
            64,
            ", z",
            {"z": whole(np.uint8, 8, 4)},
            "p0 (k 16), n k ..., n k, n k, , n -> p0 n",
            (4, 8),
        ),
        (4, 56, "", {}, "p0 _, n _ ..., n _, , , n -> p0 n", (8,)),
    ],
)
def test_weights_packed_in_bytes(
    bits: int,
    k: int,
    inputs: str,
    weights: dict[str, np.ndarray],
    expected: str,
    sizes: tuple[int, ...],
) -> None:
    model = bits_model(bits, k, inputs, **weights)
    assert sentence(model, "MatMulNBits") == expected
    proven(model, *sizes)
    units = units_of(model)
    op.choose(units, op.ratio(0.5))
    node = next(node for node in prune(units).nodes if node.op_type == "MatMulNBits")
    assert node.attributes.get_int("N") == 4
    assert node.attributes.get_int("K") == (k // 2 if 4 in sizes else k)


def test_what_bytes_hold() -> None:
    """Two numbers of 4 bits, the lower one first, as distances from the middle."""
    model = bits_model(4, 64, "")
    value = load(model).initializers["w"]
    array, scale = numbers(value), load(model).initializers["s"]
    assert array is not None
    assert array.shape == (8, 4, 8, 2)
    assert value.const_value is not None
    assert scale.const_value is not None
    byte = int(value.const_value.numpy()[3, 2, 5])
    step = scale.const_value.numpy()[3, 2]
    expected = [((byte & 15) - 8) * step, ((byte >> 4) - 8) * step]
    np.testing.assert_allclose(array[3, 2, 5], expected, rtol=1e-6)


def test_the_scale_of_dynamic_products_is_found_behind_them() -> None:
    body = """(float[N,6] x) => (float[N,4] y) {
        q, f, z = DynamicQuantizeLinear(x) t = MatMulInteger(q, w, z, v) c = Cast<to=1>(t)
        m = Mul(f, s) y = Mul(c, m)
    }"""
    w, s = whole(np.int8, 6, 4), steps(4)
    model = proto(body, w=w, s=s, v=np.full(4, 3, np.int8))
    found = stored(load(model).initializers["w"])
    assert found is not None
    assert found.scale is not None
    np.testing.assert_allclose(found.read(w), (w.astype(float) - 3) * s, rtol=1e-6)


INT32 = {
    "GatherElements": (
        "r = Relu(h) g = GatherElements<axis=1>(r, i) y = MatMul(g, v)",
        {"i": RANDOM.integers(0, 8, (2, 8)).astype(np.int32)},
    ),
    "Gather": (
        "r = Relu(h) g = Gather<axis=1>(r, i) y = MatMul(g, v)",
        {"i": np.array([3, 1, 0, 2, 7, 5, 6, 4], np.int32)},
    ),
    "CumSum": (
        "r = Relu(h) g = CumSum(r, i) y = MatMul(g, v)",
        {"i": np.array(0, np.int32)},
    ),
    "Slice": (
        "r = Relu(h) g = Slice(r, i, j, k) y = MatMul(g, v)",
        {name: np.array(n, np.int32) for name, n in (("i", [0, 0]), ("j", [2, 9]), ("k", [0, 1]))},
    ),
    "OneHot": (
        "r = Relu(h) o = OneHot<axis=0>(i, n, t) g = MatMul(o, p) f = Add(r, g) y = MatMul(f, v)",
        {
            **{"i": np.array([0, 1], np.int32), "n": np.array(2, np.int32)},
            **{"t": np.array([0, 1], np.float32), "p": np.ones((2, 8), np.float32)},
        },
    ),
    "Mul": (
        "c = Cast<to=1>(i) r = Mul(h, c) y = MatMul(r, v)",
        {"i": np.arange(8, dtype=np.int32)},
    ),
    "Where": (
        "q = Greater(i, j) r = Where(q, h, e) y = MatMul(r, v)",
        {
            **{"i": np.arange(8, dtype=np.int32), "j": np.array(3, np.int32)},
            "e": np.zeros((), np.float32),
        },
    ),
    "Reshape": (
        "c = Cast<to=7>(i) r = Reshape(h, c) f = Reshape(r, k) y = MatMul(f, v)",
        {"i": np.array([2, 2, 4], np.int32), "k": ints(2, 8)},
    ),
}


@pytest.mark.parametrize("name", INT32)
def test_integers_of_32_bits(name: str) -> None:
    """What lies along an axis shrinks with it; what spells positions, sizes or axes does not."""
    body, weights = INT32[name]
    model = proto(
        f"(float[2,6] x) => (float[2,5] y) {{ h = MatMul(x, u) {body} }}", "u 6 8, v 8 5", **weights
    )
    units = units_of(model)
    for seed in range(4 if units.mutable else 0):
        choose(units, seed, (0.5, 0.8, 0.2, 0.4)[seed])
        verify(units, prune(units)).check()
    assert bool(units.mutable) == (name != "Where"), "its condition is folded to booleans"


def test_cost_of_quantised_products() -> None:
    model = bits_model(4, 64, "")
    graph = load(model)
    node = next(node for node in graph.nodes if node.op_type == "MatMulNBits")
    assert macs_of(node, graph) == 2 * 64 * 8


def test_a_mixture_of_experts_loses_what_lies_inside_of_them() -> None:
    body = """(float[3,6] x, float[3,4] p) => (float[3,6] y) {
        y = com.microsoft.MoE<k=2, activation_type="silu">(x, p, a, b, c, d)
    }"""
    model = proto(body, "a 4 8 6, b 4 8, c 4 6 8, d 4 6")
    units = units_of(model)
    assert [unit.num_channels for unit in units.mutable] == [8]
    op.choose(units, op.ratio(0.5))
    small = prune(units)
    feeds = feeds_of(model)
    masked = proto(body, "a 4 8 6, b 4 8, c 4 6 8, d 4 6")
    kept = units.mutable[0].mask
    for tensor in masked.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name in "ab":
            array[:, ~kept] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    close(run(to_proto(small), feeds), run(masked, feeds))


@pytest.mark.parametrize("operator", ["QMoE", "DynamicQuantizeLSTM"])
def test_what_is_not_understood_stays_whole(operator: str) -> None:
    body = f"(float[3,6] x) => (float[3,6] y) {{ y = com.microsoft.{operator}(x, a) }}"
    rule = rule_of(proto(body, "a 6 6"), operator)
    assert isinstance(rule, Barred)
    assert rule.reason


def test_a_dequantised_vector_that_serves_two_layers_ties_nothing() -> None:
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            v = DequantizeLinear(q, scale, zero)
            a = Conv(x, w0)
            b = InstanceNormalization(a, v, v)
            c = Conv(b, w1)
            d = InstanceNormalization(c, v, v)
            y = Conv(d, w2)
        }""",
        "w0 6 3 1 1, w1 6 6 1 1, w2 2 6 1 1",
        q=np.arange(1, 7, dtype=np.int8),
        scale=np.array(0.5, np.float32),
        zero=np.array(0, np.int8),
    )
    proven(model, 6, 6)
