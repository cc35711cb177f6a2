"""Rules where a name alone does not tell the opset, and nodes that are not what they should be."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import choose, ints, proto, units_of

from onnxprune.axes import Barred, Rule
from onnxprune.graph import load
from onnxprune.ops import macs_of, operator_name, rules_for
from onnxprune.rewrite import prune


def rule_of(model: onnx.ModelProto, operator: str) -> Rule | Barred:
    """The rule of the only node of an operator."""
    graph = load(model)
    (node,) = (node for node in graph.model.graph if node.op_type == operator)
    return rules_for(graph)(node)


def sentence(body: str, shapes: str = "", opset: int = 21, **weights: object) -> str:
    """The sentence of the first operator in the text."""
    operator = body.split("= ")[1].split("(")[0].split("<")[0].strip()
    rule = rule_of(proto(body, shapes, opset, **weights), operator)
    assert isinstance(rule, Rule), rule
    return str(rule.parsed)


SENTENCES = {
    "(float[N,4,8,8] x) => (float[N,6,6,6] y) { y = Conv(x, w) }": (
        "n (g c) ..., (g o) c ..., (g o) -> n (g o) ..."
    ),
    "(float[N,4] x) => (float[N,6] y) { y = Gemm<transB=1>(x, v, b) }": "m k, n k, n -> m n",
    "(float[4,N] x) => (float[N,6] y) { y = Gemm<transA=1>(x, u) }": "k m, k n -> m n",
    "(float[N,1,5,4] x) => (float[N,3,5,6] y) { y = MatMul(x, t) }": (
        "p0 1 m k, p1 k n -> p0 p1 m n"
    ),
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Add(x, b4) }": "a b c, b 1 -> a b c",
    "(float[N,4] x, float[M,4] z) => (float[K,4] y) { y = Mul(x, z) }": "_ b, _ b -> _ b",
    "(float[N,4,8] x) => (float[N,8,4] y) { y = Transpose<perm=[0,2,1]>(x) }": "a b c -> a c b",
    "(float[N,4,8] x) => (float[N,32] y) { y = Reshape(x, s32) }": "f0 f1 f2 -> f0 (f1 f2)",
    "(float[N,12,8] x) => (float[N,3,4,8] y) { y = Reshape(x, s348) }": (
        "f0 (f1 f2) f3 -> f0 f1 f2 f3"
    ),
    "(float[4,6] x) => (float[6,4] y) { y = Reshape(x, s64) }": "_ _ -> _ _",
    "(float[N,4,H,8] x) => (float[N,4,8] y) { y = Squeeze(x, two) }": "a b _ c -> a b c",
    "(float[N,4,8] x) => (float[N,4,1,8] y) { y = Unsqueeze(x, two) }": "a b c -> a b 1 c",
    "(float[N,4,8] x) => (float[N,3] y) { y = ReduceMax<keepdims=0>(x, one) }": "a b! c -> a c",
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Softmax(x) }": "a b c! -> a b c",
    "(float[N,4,8] x) => (float[N,4,8] y) { y = LayerNormalization<axis=1>(x, w48) }": (
        "a b! c!, b c -> a b c"
    ),
    "(float[N,4,8] x) => (int64[3] y) { y = Shape(x) }": "~ ~ ~ -> _",
    # copies
    "(float[N,1,8] x) => (float[3,N,4,8] y) { y = Expand(x, s3148) }": "b 1 d -> ~ b ~ d",
    "(float[N,1,8] x) => (float[N,M,K] y) { y = Expand(x, s348k) }": "a 1 c -> a ~ c",
    "(float[N,1,8] x) => (float[N,3,32] y) { y = Tile(x, s134) }": "a 1 c, _ -> a ~ (~ c)",
    "(int64[2] x) => (float[A,B] y) { y = ConstantOfShape(x) }": "_ -> ~ ~",
    # parts
    "(float[N,8] x) => (float[N,4] y) { y = Slice(x, one, big, one, two) }": "a b -> a b[1:8:2]",
    "(float[N,8] x) => (float[N,8] y) { y = Slice(x, last, low, one, last) }": "a b -> a b[7::-1]",
    "(float[N,8] x) => (float[N,2] y) { y = Slice(x, low, two, one) }": "a b -> a b[0:2]",
    "(float[N,8] x, int64[1] e) => (float[N,M] y) { y = Slice(x, zero, e, one) }": "a _ -> a _",
    "(float[N,4,8] x) => (float[N,8] y) { y = Gather<axis=1>(x, third) }": (
        "a (~2 + 1 + ~1) c,  -> a c"
    ),
    "(float[N,6,8] x) => (float[N,3,2,8] y) { y = Gather<axis=1>(x, grid) }": (
        "a (i0 i1) c, _ _ -> a i0 i1 c"
    ),
    "(float[N,4,8] x) => (float[N,7,8] y) { y = Pad(x, pads) }": "a b c -> a (~1 + b + ~2) c",
    '(float[N,4,8] x) => (float[N,7,8] y) { y = Pad<mode="edge">(x, pads) }': "a _ c -> a _ c",
    # blocks
    "(float[N,8,2,2] x) => (float[N,2,4,4] y) { y = DepthToSpace<blocksize=2>(x) }": (
        "n (4 c) _ _ -> n c _ _"
    ),
    '(float[N,8,2,2] x) => (float[N,2,4,4] y) { y = DepthToSpace<blocksize=2, mode="CRD">(x) }': (
        "n (c 4) _ _ -> n c _ _"
    ),
    "(float[N,2,4,4] x) => (float[N,8,2,2] y) { y = SpaceToDepth<blocksize=2>(x) }": (
        "n c _ _ -> n (4 c) _ _"
    ),
    "(float[N,8,16] x) => (float[N,2,5,5] y) { y = Col2Im(x, s55, s22) }": "n (c 4) _ -> n c ...",
    # normalisation
    "(float[N,4,8] x) => (float[N,4,8] y) { y = GroupNormalization<num_groups=2>(x, v4, v4) }": (
        "n (g c!) s0!, (g c), (g c) -> n (g c) s0"
    ),
    "(float[N,4,8] x) => (float[N,4,8] y) { y = InstanceNormalization(x, v4, v4) }": (
        "n c s0!, c, c -> n c s0"
    ),
    "(float[N,4,8,2] x) => (float[N,4,8,2] y) { y = MeanVarianceNormalization(x) }": (
        "a! b c! d! -> a b c d"
    ),
    "(float[N,4,8,2] x) => (float[N,4,8,2] y) { y = LRN<size=3>(x) }": "a _ c d -> a _ c d",
    "(float[N,4,8,2] x) => (float[N,4,1,1] y) { y = GlobalLpPool(x) }": "n c s0! s1! -> n c 1 1",
    # order
    "(float[N,4,8] x) => (int64[N,8] y) { y = ArgMax<axis=1, keepdims=0>(x) }": "a _ c -> a c",
    "(float[N,4,8] x) => (float[N,4,2] y, int64[N,4,2] z) { y, z = TopK(x, two) }": (
        "a b _ -> a b _, a b _"
    ),
    "(float[N,4,8] x) => (float[N,4,8] y) { y = CumSum(x, third) }": "a b _ -> a b _",
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Trilu(x) }": "a _ _ -> a _ _",
    "(float[4,N,8] x, int64[N] l) => (float[4,N,8] y) { y = ReverseSequence(x, l) }": (
        "_ b c, b -> _ b c"
    ),
    "(float[N,4,8] x) => (float[N,4,8] y) { y = Hardmax<axis=1>(x) }": "a _ c -> a _ c",
    "(float[N,4,8] x, bool[4] c) => (float[N,M,8] y) { y = Compress<axis=1>(x, c) }": (
        "a _ c -> a _ c"
    ),
    # positions
    "(float[N,4,8] x, int64[N,5,8] i) => (float[N,5,8] y) { y = GatherElements<axis=1>(x, i) }": (
        "a _ c, a x c -> a x c"
    ),
    "(float[N,4,8] x, int64[N,5,7] i) => (float[N,5,7] y) { y = GatherElements<axis=1>(x, i) }": (
        "a _ _, a x _ -> a x _"
    ),
    "(float[N,4,8] x, int64[N,5,1] i) => (float[N,5,8] y) { y = GatherND<batch_dims=1>(x, i) }": (
        "a _ c, a x1 _ -> a x1 c"
    ),
    "(float[N,4] x, int64[N,5] i, float[N,5] u) => (float[N,4] y) { y = ScatterElements<axis=1>"
    "(x, i, u) }": "a _, a _, a _ -> a _",
    "(float[N,4] x, int64[5,1] i, float[5,4] u) => (float[N,4] y) { y = ScatterND(x, i, u) }": (
        "_ b, _ _, _ b -> _ b"
    ),
    "(int64[N,4] x) => (float[N,6,4] y) { y = OneHot<axis=1>(x, six, v2) }": "a b -> a _ b",
    # images
    "(float[N,4,8,8] x, float[N,3,5,2] g) => (float[N,4,3,5] y) { y = GridSample(x, g) }": (
        "n c ..., n s0 s1 _ -> n c s0 s1"
    ),
    "(float[N,4,8,8] x, float[R,4] r, int64[R] b) => (float[R,4,1,1] y) "
    "{ y = RoiAlign(x, r, b) }": ("_ c ..., r _, r -> r c ..."),
    "(float[N,4,8,8] x, float[R,5] r) => (float[R,4,2,2] y) { y = MaxRoiPool<pooled_shape=[2,2]>"
    "(x, r) }": "_ c ..., r _ -> r c ...",
    "(float[N,4,8] x) => (float[N,4,5] y) { y = CenterCropPad<axes=[-1]>(x, five) }": (
        "a b _ -> a b _"
    ),
    "(float[N,4,8,8] x, float[N,18,6,6] o) => (float[N,6,6,6] y) { y = DeformConv(x, w, o) }": (
        "n (f c) ..., o (f c) ..., n (f 18) ..., o, n (f 9) ... -> n o ..."
    ),
    # signals
    "(float[N,4,8,1] x) => (float[N,4,8,2] y) { y = DFT(x) }": "a b _ _ -> a b _ _",
    "(float[N,16,1] x) => (float[N,M,K,2] y) { y = STFT(x, third, , third) }": "n _ _ -> n _ _ _",
    # products
    '(float[N,4,8] x) => (float[N,8,6] y) { y = Einsum<equation="bij,ki->bjk">(x, v) }': (
        "b i j, k i -> b j k"
    ),
    '(float[N,4,8] x) => (float[N,8,6] y) { y = Einsum<equation="bij,ki">(x, v) }': (
        "b i j, k i -> b j k"
    ),
    '(float[N,4,8] x) => (float[N,6] y) { y = Einsum<equation="bij, ki -> bk">(x, v) }': (
        "b i j!, k i -> b k"
    ),
    '(float[N,4,8] x) => (float[N,4,6] y) { y = Einsum<equation="...j,...kj->...k">(x, k68) }': (
        "e0 e1 j, 1 k j -> e0 e1 k"
    ),
    '(float[N,4,4] x) => (float[4] y) { y = Einsum<equation="bii->i">(x) }': "b! i i -> i",
    '(float[N,4,1] x) => (float[N,4,6] y) { y = Einsum<equation="bij,kj->bik">(x, k68b) }': (
        "b i 1, k j! -> b i k"
    ),
    '(float[N,4] x, float[M,4] z) => (float[K] y) { y = Einsum<equation="ij,ij->i">(x, z) }': (
        "_ j, _ j -> _"
    ),
}

WEIGHTS = "w 6 4 3 3, v 6 4, b 6, u 4 6, t 3 4 6, b4 4 1, w48 4 8, v4 4, v2 2, k68 1 6 8, k68b 6 8"
NUMBERS = {
    **{"s32": ints(0, -1), "s348": ints(-1, 3, 4, 8), "s64": ints(6, 4), "one": ints(1)},
    **{"s3148": ints(3, 1, 4, 8), "s348k": ints(1, 4, 8), "s134": ints(1, 3, 4)},
    **{"zero": ints(0), "two": ints(2), "five": ints(5), "six": np.array(6), "last": ints(-1)},
    **{
        "big": ints(2**62),
        "low": ints(-(2**62)),
        "third": np.array(2),
        "grid": np.arange(6).reshape(3, 2),
    },
    **{"pads": ints(0, 1, 0, 0, 2, 0), "s55": ints(5, 5), "s22": ints(2, 2)},
}


@pytest.mark.parametrize("body", SENTENCES)
def test_sentences(body: str) -> None:
    assert sentence(body, WEIGHTS, **NUMBERS) == SENTENCES[body]


@pytest.mark.parametrize(
    ("sizes", "target", "expected"),
    [
        ("N,H,W,12", "n, p, three, four", "f0 _ _ (f1 f2) -> f0 _ f1 f2"),
        ("N,4,H,12", "n, four, p, p, two", "f0 f1 _ _ -> f0 f1 _ _ _"),
        ("N,4,H,2,6", "n, p, three, four", "f0 _ _ _ _ -> f0 _ _ _"),
        ("N,4,H,8", "p, p, p", "_ _ _ _ -> _ _ _"),
    ],
)
def test_axes_beside_sizes_that_cannot_be_compared(sizes: str, target: str, expected: str) -> None:
    """The first and the last axes correspond, whatever becomes of those between."""
    model = proto(
        f"""(float[{sizes}] x, int64[1] p) => (float[A] y) {{
            n = Shape<start=0, end=1>(x)
            s = Concat<axis=0>({target})
            y = Reshape(x, s)
        }}""",
        **{"two": ints(2), "three": ints(3), "four": ints(4)},
    )
    rule = rule_of(model, "Reshape")
    assert isinstance(rule, Rule), rule
    assert str(rule.parsed) == expected


def test_softmax_before_opset_13_is_over_all_that_follows() -> None:
    body = "(float[N,4,8] x) => (float[N,4,8] y) { y = Softmax(x) }"
    assert sentence(body, opset=12) == "a b! c! -> a b c"


def test_operators_of_other_domains_are_not_those_of_onnx() -> None:
    body = "(float[N,4] x) => (float[N,4] y) { y = com.acme.Relu(x) }"
    graph = load(proto(body))
    (node,) = graph.model.graph
    assert operator_name(node) == "com.acme::Relu"
    assert rules_for(graph)(node) == Barred("no rule for the operator com.acme::Relu")


STRANGE = [
    "y = Conv<group=0>(x, w4)",
    "y = Conv<group=-1>(x, w4)",
    "y = Conv<group=3>(x, w4)",
    'y = Conv<group="4">(x, w4)',
    "y = Conv<group=1.0>(x, w4)",
    "y = Conv<group=[1]>(x, w4)",
    "y = Conv(x)",
    "y = Conv(, w4)",
    "y = Conv(x, w4, w4)",
    "y = Conv(x, w4, none)",
    "y = Concat(x, w4)",
    "y = Concat<axis=9>(x, x)",
    "y = Concat<axis=1>(x, , x)",
    "y = Concat<axis=1>()",
    "y = Transpose<perm=[0,1]>(x)",
    "y = Transpose<perm=[0,0,0,9]>(x)",
    "y = Slice(x)",
    "y = Slice(x, one, one, one, one, one, one)",
    "y = Slice(x, one, two, one, zero)",
    "y = Slice(x, one, many, many)",
    "y = Split<axis=7>(x)",
    "y, z = Split<axis=1>(x, huge)",
    "y = Pad(x)",
    "y = Pad(x, huge)",
    "y = Pad(x, one)",
    "y = Gather<axis=8>(x, one)",
    "y = Gather<axis=1>(x, huge)",
    "y = Gather(x)",
    "y = Reshape(x)",
    "y = Reshape(x, huge)",
    "y = Reshape(x, w4)",
    "y = Expand(x, huge)",
    "y = Expand(x)",
    "y = Squeeze(x, huge)",
    "y = Unsqueeze(x, huge)",
    "y = Flatten<axis=9>(x)",
    "y = Resize(x, , , huge)",
    "y = Resize<axes=[9]>(x, , w1)",
    "y = Resize(x, , w1)",
    "y = MatMul(x, one)",
    "y = MatMul(x)",
    "y = Gemm(x, x, x)",
    "y = BatchNormalization(x, w1, w1)",
    "y = LayerNormalization<axis=9>(x, w1)",
    "y = LayerNormalization(x, w4, w4)",
    "y = Softmax<axis=17>(x)",
    "y = ReduceSum(x, huge)",
    "y = ReduceMean(x, w1)",
    "y = Shape<start=99, end=-99>(x)",
    "y = Shape(one)",
    "y = MaxPool(x)",
    "y = Relu(none)",
    "y = Relu()",
    "y = Where(x)",
    "y = CastLike(x)",
    "y = PRelu(x, huge)",
    "y = LpNormalization<axis=9>(x)",
    "y = Add(x, empty)",
    "y = Tile(x, huge)",
    "y = Tile(x, w4)",
    "y = Tile(x)",
    "y = Tile(x, nil4)",
    "y = ConstantOfShape(huge)",
    "y = ConstantOfShape(x)",
    "y = Gather<axis=1>(x, far)",
    "y = Slice(x, one, many, one, minus)",
    "y = Slice(x, one, zero, one, minus)",
    "y = Pad(x, big8)",
    "y = DepthToSpace(x)",
    "y = DepthToSpace<blocksize=0>(x)",
    "y = DepthToSpace<blocksize=-2>(x)",
    "y = DepthToSpace<blocksize=3>(x)",
    "y = SpaceToDepth<blocksize=3>(x)",
    "y = Einsum(x)",
    'y = Einsum<equation="">(x)',
    'y = Einsum<equation="->">(x)',
    'y = Einsum<equation="abcd">(x, x)',
    'y = Einsum<equation="abcd,abcd,e">(x, x)',
    'y = Einsum<equation="abcde->a">(x)',
    'y = Einsum<equation="a...b...->a">(x)',
    'y = Einsum<equation="abcd->abcz">(x)',
    'y = Einsum<equation="a1_d->a">(x)',
    'y = Einsum<equation="abcd,bcda->abcd">(x, x)',
    "y = GroupNormalization(x, w1, w1)",
    "y = GroupNormalization<num_groups=3>(x, w1, w1)",
    "y = InstanceNormalization(w1, w1, w1)",
    "y = MeanVarianceNormalization<axes=[9]>(x)",
    "y = LRN<size=3>(w1)",
    "y = GlobalAveragePool(w1)",
    "y = ArgMax<axis=9>(x)",
    "y = CumSum(x, huge)",
    "y = CumSum(x, x)",
    "y, z = TopK(x, huge)",
    "y = Trilu(w1)",
    "y = Trilu(none)",
    "y = ReverseSequence(x, w1)",
    "y = Compress<axis=9>(x, w1)",
    "y = GatherElements(x, w1)",
    "y = GatherElements<axis=9>(x, x)",
    "y = ScatterElements<axis=1>(x, x, w1)",
    "y = GatherND(x, none)",
    "y = GatherND<batch_dims=9>(x, one)",
    "y = GatherND(x, w4)",
    "y = ScatterND(x, w4, x)",
    "y = OneHot(x, one, one)",
    "y = OneHot<axis=17>(x, one, one)",
    "y = GridSample(x, w1)",
    "y = RoiAlign(x, x, x)",
    "y = MaxRoiPool(x, w1)",
    "y = Col2Im(x, huge, huge)",
    "y = Col2Im(x, one, zero)",
    "y = CenterCropPad<axes=[9]>(x, one)",
    "y = DeformConv(x, w4, x)",
    "y = DeformConv<offset_group=0>(x, w4, x)",
    "y = DeformConv<group=4, offset_group=2>(x, w4, x)",
    "y = DFT<axis=9>(x)",
    "y = DFT(x, , huge)",
    "y = STFT(none, one)",
    "y = Dropout(x, none, x)",
    "y = Upsample(x, w1)",
    "y = MaxUnpool(x, x)",
]


@pytest.mark.parametrize("node", STRANGE)
@pytest.mark.parametrize("declared", ["float[N,8,4,4]", "float[N,M]", "float"])
def test_a_node_that_is_not_what_it_should_be_is_a_barrier_at_most(
    node: str, declared: str
) -> None:
    """Nothing but units comes out of finding units, whatever the file says."""
    made = f"(float[N,3,4,4] i) => ({declared} y) {{ x = Conv(i, w0) {node} }}"
    units = units_of(
        proto(
            made,
            "w0 8 3 1 1, w4 8 2 1 1, w1 4",
            **{"zero": ints(0), "one": ints(1), "two": ints(2), "many": ints(1, 2, 3)},
            **{"huge": ints(2**62, -(2**62)), "none": np.zeros((), np.float32)},
            **{"nil4": ints(0, 0, 0, 0), "big8": ints(*[2**40] * 8), "minus": ints(-1)},
            **{"far": np.array(2**62), "empty": np.zeros(0, np.float32)},
        )
    )
    for n in units.graph.model.graph:
        assert macs_of(n, units.graph) >= 0
    units.prunable_share()
    choose(units, 0)
    prune(units)


BARRED = {
    "(float[N,4] x) => (float[N,4] y) { y = Bernoulli(x) }": "random",
    "(float[N,4] x) => (float[N,4] y) { y = Dropout(x, , t) }": "training",
    "(float[N,4,8,8] x) => (float[N,4,7,7] y, int64[N,4,7,7] z) { y, z = "
    "MaxPool<kernel_shape=[2,2]>(x) }": "every channel",
    "(float[N,4,7,7] x, int64[N,4,7,7] i) => (float[N,4,8,8] y) { y = "
    "MaxUnpool<kernel_shape=[2,2]>(x, i) }": "every channel",
    "(float[N,4] x) => (float[M,4] y) { y = Unique<axis=0>(x) }": "run time",
    "(float[N,4] x, int64[1] a) => (float[N,M] y) { y = Slice(x, zero, zero, a) }": "its input",
}


@pytest.mark.parametrize("body", BARRED)
def test_a_barrier_says_why(body: str) -> None:
    operator = body.split("= ")[1].split("(")[0].split("<")[0].strip()
    rule = rule_of(proto(body, "", t=np.array(True), zero=ints(0)), operator)
    assert isinstance(rule, Barred), rule
    assert BARRED[body] in rule.reason


def test_sums_of_products_cost() -> None:
    for equation, shapes, cost in (
        ("bij,ki->bjk", "w 6 4", 4 * 8 * 6),
        ("bij,bij->b", "w 1 4 8", 4 * 8),
        ("bij->bj", "", 0),
        ("bij,ki,jk->b", "w 6 4, v 8 6", 2 * 4 * 8 * 6),
    ):
        operands = ", ".join(["x", *(shape.split()[0] for shape in shapes.split(",") if shape)])
        text = f'(float[1,4,8] x) => (float[M] y) {{ z = Einsum<equation="{equation}">({operands})'
        graph = load(proto(text + " y = Relu(z) }", shapes))
        assert [macs_of(node, graph) for node in graph.nodes] == [cost, 0]
