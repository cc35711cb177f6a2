"""Operators that onnxruntime runs on graphics cards only, by what their documentation says.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxprune.oracle.examples.example import Example, Operand

__all__ = ["defined"]

_GELU = """
    half = Constant <value_float = 0.5> () root = Constant <value_float = 0.70710678> ()
    one = Constant <value_float = 1.0> () r1 = Mul(r, root) r2 = Erf(r1) r3 = Add(r2, one)
    r4 = Mul(r3, half) g = Mul(r, r4)
"""
_FAST_GELU = """
    half = Constant <value_float = 0.5> () root = Constant <value_float = 0.79788456> ()
    one = Constant <value_float = 1.0> () cube = Constant <value_float = 0.044715> ()
    r1 = Mul(r, r) r2 = Mul(r1, cube) r3 = Add(r2, one) r4 = Mul(r, r3) r5 = Mul(r4, root)
    r6 = Tanh(r5) r7 = Add(r6, one) r8 = Mul(r7, half) y = Mul(r, r8)
"""
_NORMAL = """
    count = Constant <value_int: int = @groups> () single = Constant <value_ints = [1]> ()
    groups = Reshape(count, single) copied = Constant <value_ints = [0]> ()
    others = Constant <value_ints = [-1]> () parts = Concat <axis = 0> (copied, groups, others)
    whole = Shape(c) apart = Reshape(c, parts) zeros = ConstantOfShape(groups) ones = Exp(zeros)
    normal = InstanceNormalization(apart, ones, zeros) joined = Reshape(normal, whole)
    rows = Constant <value_ints = [-1, 1, 1]> () scale = Reshape(g, rows) shift = Reshape(b, rows)
    scaled = Mul(joined, scale) d = Add(scaled, shift)
"""


def defined() -> Iterator[Example]:
    """The examples."""
    yield from _sums()
    yield from _channels_last()
    yield from _products()
    for last in (1, 0):
        for activation in (0, 1):
            yield from _groups(last, activation)


def _defined(head: str, body: str, *operands: Operand, **attributes: object) -> Example:
    """An example of one operator.

    Args:
        head: Its name, attributes, operands and results, as ONNX writes those of a function.
        body: How it makes the results.
        *operands: The operands of the example.
        **attributes: The attributes of the example.
    """
    text = f'<domain: "com.microsoft", opset_import: ["" : 21]> {head} {{ {body} }}'
    name = f"com.microsoft::{head.split()[0]}"
    results = tuple(f"y{i}" for i in range(head.partition("=>")[2].count(",") + 1))
    return Example(name, operands, results=results, attributes=attributes, definition=text)


def _sums() -> Iterator[Example]:
    x, bias = (2, 3, 8), (8,)
    yield _defined("BiasAdd (x, b, s) => (y)", "t = Add(x, b) y = Add(t, s)", x, bias, x)
    halves = "t = Add(x, b) l, r = Split <axis = -1, num_outputs = 2> (t)"
    body = f"{halves} {_GELU} y = Mul(l, g)"
    yield _defined("BiasSplitGelu (x, b) => (y)", body, x, bias)
    body = "y = Add(x, b) m = Equal(y, y)"
    yield _defined("BiasDropout (x, b) => (y, m)", body, x, bias)
    body = "t = Add(x, b) y = Add(t, s)"
    yield _defined("BiasDropout (x, b, s) => (y)", body, x, bias, x)
    yield _defined("BitmaskBiasDropout (x, b, s) => (y)", body, x, bias, x)
    yield _defined("BitmaskDropout (x) => (y)", "y = Identity(x)", x)


def _channels_last() -> Iterator[Example]:
    before, after = "Transpose <perm = [0, 3, 1, 2]>", "Transpose <perm = [0, 2, 3, 1]>"
    for group in (1, 2, 4, 8):
        for turned in (False, True):
            shape = (16, 3, 2, 8 // group) if turned else (16, 8 // group, 3, 2)
            weight = f"{before} (w)" if turned else "Identity(w)"
            moved = f"t = {before} (x) v = {weight}"
            conv = "c = Conv <group: int = @group>"
            body = f"{moved} {conv} (t, v, b) y = {after} (c)"
            head = "NhwcConv <group> (x, w, b) => (y)"
            yield _defined(head, body, (2, 5, 5, 8), shape, (16,), group=group)
            body = f"{moved} {conv} (t, v, b) s = {after} (c) p = Add(s, z) y = Relu(p)"
            head = "NhwcFusedConv <group> (x, w, b, z) => (y)"
            added = (2, 3, 4, 16)
            yield _defined(
                head, body, (2, 5, 5, 8), shape, (16,), added, group=group, activation="Relu"
            )


def _products() -> Iterator[Example]:
    body = f"t = MatMul(x, w) r = Add(t, b) {_FAST_GELU}"
    yield _defined("GemmFastGelu (x, w, b) => (y)", body, (2, 3, 4), (4, 5), (5,))
    body = f"r = MatMul(x, w) {_FAST_GELU}"
    yield _defined("GemmFastGelu (x, w) => (y)", body, (3, 4), (4, 5))
    body = "t = Transpose <perm = [0, 2, 1]> (b) s = MatMul(a, t) y = Relu(s)"
    yield _defined(
        "FusedMatMulActivation (a, b) => (y)",
        *(body, (2, 3, 4), (2, 5, 4)),
        activation="Relu",
        transB=1,
    )


def _groups(last: int, activation: int) -> Iterator[Example]:
    """Group normalisation of images, with something added before."""
    before, after = "Transpose <perm = [0, 3, 1, 2]>", "Transpose <perm = [0, 2, 3, 1]>"
    first = before if last else "Identity"
    swish = "e = Sigmoid(d) f = Mul(d, e)" if activation else "f = Identity(d)"
    tail = f"c = {first} (a) {_NORMAL} {swish}"
    tail += f" y = {after if last else 'Identity'} (f)"
    image = (2, 3, 4, 8) if last else (2, 8, 3, 4)
    attributes = {"groups": 2, "channels_last": last, "activation": activation}
    vectors = (8,), (8,)
    head = "GroupNorm <groups> (x, g, b) => (y)"
    yield _defined(head, f"a = Identity(x) {tail}", image, *vectors, **attributes)
    head, body = "SkipGroupNorm <groups> (x, g, b, s) => (y, a)", f"a = Add(x, s) {tail}"
    yield _defined(head, body, image, *vectors, image, **attributes)
    row = (2, 1, 1, 8) if last else (2, 8, 1, 1)
    yield _defined(head, body, image, *vectors, row, **attributes)
    axes = "[1, 2]" if last else "[2, 3]"
    spread = f"k = Constant <value_ints = {axes}> () r = Unsqueeze(s, k)"
    wide = "[1, 1, 1, -1]" if last else "[1, -1, 1, 1]"
    body = f"{spread} j = Constant <value_ints = {wide}> () o = Reshape(v, j) q = Add(r, o)"
    head = "SkipGroupNorm <groups> (x, g, b, s, v) => (y, a)"
    yield _defined(
        head, f"{body} a = Add(x, q) {tail}", image, *vectors, (2, 8), (8,), **attributes
    )
