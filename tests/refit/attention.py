"""Attention in the ways that exporters write it, with queries and keys of few dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from helpers import proto

__all__ = ["ATTENTIONS", "RANK", "planted"]

RANK = 2
"""How many dimensions the queries and keys of each head really have, of 4."""

_SCORES = """
    s = MatMul(qt, kt)
    m = Mul(s, scale)
    p = Softmax<axis=-1>(m)
    o = MatMul(p, vt)
    ot = Transpose<perm=[0,2,1,3]>(o)
    of = Reshape(ot, flat)
    y = MatMul(of, wo)
"""

_TEXTS = {
    "three projections": (
        """(float[N,5,6] x) => (float[N,5,4] y) {
            q0 = MatMul(x, wq) q = Add(q0, bq)
            k0 = MatMul(x, wk) k = Add(bk, k0)
            v = MatMul(x, wv)
            qr = Reshape(q, heads) qt = Transpose<perm=[0,2,1,3]>(qr)
            kr = Reshape(k, heads) kt = Transpose<perm=[0,2,3,1]>(kr)
            vr = Reshape(v, heads) vt = Transpose<perm=[0,2,1,3]>(vr)
        """,
        "wv 6 12, wo 12 4",
        [("wq", "bq", 0), ("wk", "bk", 0)],
    ),
    "one projection that is split": (
        """(float[N,5,6] x) => (float[N,5,4] y) {
            a0 = MatMul(x, w) a = Add(a0, b)
            q, k, v = Split<axis=-1, num_outputs=3>(a)
            qr = Reshape(q, heads) qt = Transpose<perm=[0,2,1,3]>(qr)
            kr = Reshape(k, heads) kt = Transpose<perm=[0,2,3,1]>(kr)
            vr = Reshape(v, heads) vt = Transpose<perm=[0,2,1,3]>(vr)
        """,
        "wo 12 4",
        [("w", "b", 0), ("w", "b", 1)],
    ),
    "one projection, picked by an index": (
        """(float[N,5,6] x) => (float[N,5,4] y) {
            a0 = MatMul(x, w) a = Add(a0, b)
            ar = Reshape(a, triples) at = Transpose<perm=[2,0,3,1,4]>(ar)
            qt = Gather<axis=0>(at, zero) kp = Gather<axis=0>(at, one) vt = Gather<axis=0>(at, two)
            kt = Transpose<perm=[0,1,3,2]>(kp)
        """,
        "wo 12 4",
        [("w", "b", 0), ("w", "b", 1), ("w", "b", 2)],
    ),
    "heads that share a key": (
        """(float[N,5,6] x) => (float[N,5,4] y) {
            q0 = MatMul(x, wq) q = Add(q0, bq)
            k0 = MatMul(x, wk) k = Add(k0, bk)
            v = MatMul(x, wv)
            qr = Reshape(q, heads) qt = Transpose<perm=[0,2,1,3]>(qr)
            kr = Reshape(k, single) kt = Transpose<perm=[0,2,3,1]>(kr)
            vr = Reshape(v, heads) vt = Transpose<perm=[0,2,1,3]>(vr)
        """,
        "wv 6 12, wo 12 4",
        [("wq", "bq", 0), ("wk", "bk", 0)],
    ),
}

_ITS = {
    "heads": [0, 0, 3, 4],
    "single": [0, 0, 1, 4],
    "triples": [0, 0, 3, 3, 4],
    "flat": [0, 0, 12],
    "zero": 0,
    "one": 1,
    "two": 2,
}


def _low(columns: int, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight and a bias whose heads, of 4 columns, have fewer dimensions."""
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(columns // 4):
        inner = random.standard_normal((rank, 4))
        parts.append(random.standard_normal((7, rank)) @ inner)
    whole = np.concatenate(parts, axis=1).astype(np.float32)
    return whole[:6], whole[6]


def planted(name: str) -> onnx.ModelProto:
    """One of them, its products of queries and keys of RANK dimensions."""
    text, shapes, projections = _TEXTS[name]
    arrays: dict[str, np.ndarray] = {"scale": np.array(0.5, np.float32)}
    single = "single" in text
    for i, (weight, bias, part) in enumerate(projections):
        columns = 4 if single and i == 1 else 12
        low, offset = _low(columns, RANK, seed=i)
        if weight not in arrays:
            random = np.random.default_rng(9)
            width = 36 if len({w for w, _, _ in projections}) == 1 else columns
            arrays[weight] = random.standard_normal((6, width)).astype(np.float32)
            arrays[bias] = random.standard_normal(width).astype(np.float32)
        own = slice(part * 12, part * 12 + columns)
        arrays[weight][:, own], arrays[bias][own] = low, offset
    for key, value in _ITS.items():
        if key in text or key == "flat":
            arrays[key] = np.array(value, np.int64)
    return proto(text + _SCORES + "}", shapes, **arrays)


ATTENTIONS: Mapping[str, object] = _TEXTS
