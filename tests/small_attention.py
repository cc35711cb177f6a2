"""Small models around attention: the sizes of their units, and what is left when these shrink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from helpers import ints, proto

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Attention:
    """A model and the sizes of the units that it must have.

    Attributes:
        nodes: From q, k and v (or x) to the result `a`, which is multiplied by wo.
        units: The sizes of its mutable units, in order.
        shapes: The weights that the nodes read, wo among them.
        inputs: More inputs.
        outputs: More outputs.
        projected: Whether q, k and v are products of x and the weights wq, wk and wv.
        rows: The positions of x.
        weights: More weights.
    """

    nodes: str
    units: tuple[int, ...]
    shapes: str = "wq 6 24, wk 6 12, wv 6 15, wo 30 6"
    inputs: str = ""
    outputs: str = ""
    projected: bool = True
    rows: str = "S"
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    def build(self) -> onnx.ModelProto:
        """The model."""
        first = "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)" if self.projected else ""
        signature = f"(float[2,{self.rows},6] x{self.inputs}) => (float[2,{self.rows},6] y"
        text = f"{signature}{self.outputs}) {{ {first} {self.nodes} y = MatMul(a, wo) }}"
        return proto(text, self.shapes, 23, **self.weights)


_GROUPED = "q_num_heads=6, kv_num_heads=3"
_EVEN = "wq 6 12, wk 6 12, wv 6 15, wo 15 6"
_LENGTHS = """
    n = Shape<start=1, end=2>(x) t = Cast<to=6>(n)
    before = Sub(t, one) l = Expand(before, two)
"""
_NUMBERS = {"one": np.array([1], np.int32), "two": ints(2)}

ATTENTION = {
    "groups of queries share keys": Attention(
        f"a = Attention<{_GROUPED}>(q, k, v)",
        (6, 3, 4, 5),
    ),
    "in order, and the scale is said": Attention(
        f"a = Attention<{_GROUPED}, is_causal=1, scale=0.3>(q, k, v)",
        (6, 3, 4, 5),
    ),
    "a mask of booleans": Attention(
        f"a = Attention<{_GROUPED}>(q, k, v, mask)",
        (6, 3, 4, 5),
        inputs=", bool[S,S] mask",
    ),
    "a bias learnt for every head": Attention(
        f"a = Attention<{_GROUPED}>(q, k, v, bias)",
        (6, 3, 4, 5),
        "wq 6 24, wk 6 12, wv 6 15, wo 30 6, bias 6 5 5",
        rows="5",
    ),
    "four axes": Attention(
        """q1 = Reshape(q, sq) k1 = Reshape(k, sk) v1 = Reshape(v, sv)
        q2 = Transpose<perm=[0, 2, 1, 3]>(q1) k2 = Transpose<perm=[0, 2, 1, 3]>(k1)
        v2 = Transpose<perm=[0, 2, 1, 3]>(v1) b = Attention(q2, k2, v2)
        c = Transpose<perm=[0, 2, 1, 3]>(b) a = Reshape(c, so)""",
        (6, 3, 4, 5),
        weights={
            "sq": ints(0, 0, 6, 4),
            "sk": ints(0, 0, 3, 4),
            "sv": ints(0, 0, 3, 5),
            "so": ints(0, 0, -1),
        },
    ),
    "caches of the graph keep the heads of keys": Attention(
        f"a, nk, nv = Attention<{_GROUPED}>(q, k, v, , pk, pv)",
        (2,),
        inputs=", float[2,3,P,4] pk, float[2,3,P,5] pv",
        outputs=", float[2,3,T,4] nk, float[2,3,T,5] nv",
    ),
    "turned in halves": Attention(
        f"""r = RotaryEmbedding<num_heads=6>(q, c, s, p)
        t = RotaryEmbedding<num_heads=3>(k, c, s, p) a = Attention<{_GROUPED}>(r, t, v)""",
        (6, 3, 4, 5),
        "wq 6 48, wk 6 24, wv 6 15, wo 30 6, c 99 4, s 99 4",
        inputs=", int64[2,S] p",
    ),
    "turned by neighbours": Attention(
        f"""r = RotaryEmbedding<num_heads=6, interleaved=1>(q, c, s, p)
        t = RotaryEmbedding<num_heads=3, interleaved=1>(k, c, s, p)
        a = Attention<{_GROUPED}>(r, t, v)""",
        (6, 3, 4, 5),
        "wq 6 48, wk 6 24, wv 6 15, wo 30 6, c 99 4, s 99 4",
        inputs=", int64[2,S] p",
    ),
    "turned in a part of each head": Attention(
        f"""r = RotaryEmbedding<num_heads=6, rotary_embedding_dim=4>(q, c, s, p)
        t = RotaryEmbedding<num_heads=3, rotary_embedding_dim=4>(k, c, s, p)
        a = Attention<{_GROUPED}>(r, t, v)""",
        (6, 3, 5),
        "wq 6 48, wk 6 24, wv 6 15, wo 30 6, c 99 2, s 99 2",
        inputs=", int64[2,S] p",
    ),
    "projected": Attention(
        f"a = {MICROSOFT}.Attention<num_heads=3>(x, w, b)",
        (3, 4, 4),
        "w 6 36, b 36, wo 12 6",
        projected=False,
    ),
    "projected to values of another size, and masked": Attention(
        f"""a = {MICROSOFT}.Attention<num_heads=3, unidirectional=1,
        qkv_hidden_sizes=[12, 12, 15]>(x, w, b, mask)""",
        (3, 4, 5),
        "w 6 39, b 39, wo 15 6",
        inputs=", int32[2,S] mask",
        projected=False,
    ),
    "projected, with a cache of the graph": Attention(
        f"a, new = {MICROSOFT}.Attention<num_heads=3>(x, w, b, , past)",
        (),
        "w 6 36, b 36, wo 12 6",
        inputs=", float[2,2,3,P,4] past",
        outputs=", float[2,2,3,T,4] new",
        projected=False,
    ),
    "separate": Attention(
        f"a = {MICROSOFT}.MultiHeadAttention<num_heads=3>(q, k, v)", (3, 4, 5), _EVEN
    ),
    "separate, with biases and a mask": Attention(
        f"a = {MICROSOFT}.MultiHeadAttention<num_heads=3>(q, k, v, b, mask, more)",
        (3, 4, 5),
        f"{_EVEN}, b 39, more 1 3 5 5",
        inputs=", int32[2,5] mask",
        rows="5",
    ),
    "separate, and turned": Attention(
        f"""r = {MICROSOFT}.RotaryEmbedding(q, p, c, s)
        t = {MICROSOFT}.RotaryEmbedding<num_heads=3>(k, p, c, s)
        a = {MICROSOFT}.MultiHeadAttention<num_heads=3>(r, t, v)""",
        (3, 4, 5),
        "wq 6 24, wk 6 24, wv 6 15, wo 15 6, c 99 4, s 99 4",
        inputs=", int64[1] p",
    ),
    "grouped, head sizes whole": Attention(
        _LENGTHS
        + f"a = {MICROSOFT}.GroupQueryAttention<num_heads=6, kv_num_heads=3>(q, k, v, , , l, t)",
        (6, 3),
        "wq 6 48, wk 6 24, wv 6 24, wo 48 6",
        weights=_NUMBERS,
    ),
    "grouped, with a sink and a bias for every head": Attention(
        _LENGTHS
        + f"""a = {MICROSOFT}.GroupQueryAttention<num_heads=6, kv_num_heads=3, softcap=2.0,
        local_window_size=3>(q, k, v, , , l, t, , , , bias, sink)""",
        (6, 3),
        "wq 6 48, wk 6 24, wv 6 24, wo 48 6, sink 6, bias 1 6 5 5",
        rows="5",
        weights=_NUMBERS,
    ),
    "grouped and packed, turned inside": Attention(
        _LENGTHS
        + f"""q = MatMul(x, w) a = {MICROSOFT}.GroupQueryAttention<num_heads=6, kv_num_heads=3,
        do_rotary=1>(q, , , , , l, t, c, s)""",
        (6, 3),
        "w 6 192, wo 96 6, c 99 8, s 99 8",
        projected=False,
        weights=_NUMBERS,
    ),
}
