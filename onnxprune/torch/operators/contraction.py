"""MatMul, Gemm and Einsum."""

from __future__ import annotations

from string import ascii_letters

import torch

from onnxprune.torch.masked import Masked, contract, elementwise, fill
from onnxprune.torch.operators.reduction import reduced
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import permute


@operator("MatMul")
def _matmul(call: Call) -> Masked:
    return matmul(call[0], call[1])


def matmul(a: Masked, b: Masked) -> Masked:
    """The matrix product, batched and broadcast as numpy does it."""
    value = torch.matmul(a.value, b.value)
    marks = a.marks, b.marks
    if marks == (None, None):
        return Masked(value)
    rank = max(a.value.ndim, b.value.ndim, 2) - 2
    batch: list[tuple[str, str]] = []
    together = ""
    for back in range(rank, 0, -1):
        sizes = [x.shape[-2 - back] if x.value.ndim >= 2 + back else 0 for x in (a, b)]
        letter = ascii_letters[len(batch)]
        one_sided = min(sizes) <= 1 and max(sizes) > 1
        in_a, in_b = (size > 0 for size in sizes)
        first = letter if in_a else ""
        other = letter.upper() if one_sided and in_a else letter
        batch.append((first, other if in_b else ""))
        together += first if sizes[0] > 1 or not in_b else batch[-1][1]
    left = "".join(x for x, _ in batch) + ("yk" if a.value.ndim > 1 else "k")
    right = "".join(x for _, x in batch) + ("kz" if b.value.ndim > 1 else "k")
    result = together + ("y" if a.value.ndim > 1 else "") + ("z" if b.value.ndim > 1 else "")
    levels = contract((left, marks[0]), (right, marks[1]), result)
    rows_and_columns = ((a, "y", a.value.ndim - 2), (b, "z", b.value.ndim - 1))
    born = {
        result.index(letter)
        for x, letter, axis in rows_and_columns
        if letter in result and axis in x.born
    }
    return Masked(value, levels, frozenset(born))


@operator("Gemm")
def _gemm(call: Call) -> Masked:
    a, b = call[0], call[1]
    a = permute(a, [1, 0]) if call.attribute("transA", 0) else a
    b = permute(b, [1, 0]) if call.attribute("transB", 0) else b
    product = matmul(a, b)
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    if alpha != 1:
        scaled = (product.value * alpha).to(product.value.dtype)
        product = Masked(scaled, product.levels)
    bias = call.optional(2)
    if bias is None:
        return product
    if beta != 1:
        bias = Masked((bias.value * beta).to(bias.value.dtype), bias.levels, bias.born)
    return elementwise(torch.add, product, bias)


@operator("Einsum")
def _einsum(call: Call) -> Masked:
    equation = call.attribute("equation").replace(" ", "")
    operands = [x for x in call.inputs if x is not None]
    value = torch.einsum(equation, *(x.value for x in operands))
    if all(x.marks is None for x in operands):
        return Masked(value)
    terms, result = _letters(equation, operands)
    sized = {
        letter: size
        for term, x in zip(terms, operands, strict=True)
        for letter, size in zip(term, x.shape, strict=True)
        if size > 1
    }
    parts = []
    for term, x in zip(terms, operands, strict=True):
        if len(set(term)) != len(term):
            raise call.refuse("missing entries on a diagonal")
        if any(size == 1 and sized.get(c, 1) > 1 for c, size in zip(term, x.shape, strict=True)):
            raise call.refuse("missing entries and broadcasting")
        parts.append((term, x))
    while len(parts) > 1:
        first, second, *rest = parts
        needed = set(result).union(*(term for term, _ in rest))
        parts = [_pair(first, second, needed), *rest]
    [(term, x)] = parts
    x = _summed(term, x, set(result))
    left = [c for c in term if c in result]
    levels = x.levels
    if levels is not None:
        levels = levels.permute([left.index(c) for c in result])
    return Masked(fill(value, levels), levels)


def _letters(equation: str, operands: list[Masked]) -> tuple[list[str], str]:
    """The letters of all operands and of the result, dots spelt out."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    free = [c for c in ascii_letters if c not in equation]
    dots = max(
        (
            x.value.ndim - len(t.replace("...", ""))
            for t, x in zip(terms, operands, strict=True)
            if "..." in t
        ),
        default=0,
    )
    names = "".join(free[:dots])
    spelt = []
    for term, x in zip(terms, operands, strict=True):
        own = x.value.ndim - len(term.replace("...", ""))
        spelt.append(term.replace("...", names[dots - own :]))
    if not arrow:
        once = sorted(c for c in set(left) if left.count(c) == 1 and c.isalpha())
        right = ("..." if "..." in left else "") + "".join(once)
    return spelt, right.replace("...", names)


def _summed(term: str, x: Masked, needed: set[str]) -> Masked:
    """Sum out the letters nobody else has; only presence counts here."""
    axes = [i for i, c in enumerate(term) if c not in needed]
    return reduced(x, axes, x.value.sum(axes, keepdim=True), keep=False) if axes else x


def _pair(
    first: tuple[str, Masked], second: tuple[str, Masked], needed: set[str]
) -> tuple[str, Masked]:
    """The product of two operands, summed over what neither the rest nor the result needs."""
    a, b = (
        (
            "".join(c for c in term if c in needed | set(other)),
            _summed(term, x, needed | set(other)),
        )
        for (term, x), (other, _) in ((first, second), (second, first))
    )
    result = "".join(sorted((set(a[0]) | set(b[0])) & needed))
    levels = contract((a[0], a[1].marks), (b[0], b[1].marks), result)
    value = torch.einsum(f"{a[0]},{b[0]}->{result}", a[1].value, b[1].value)
    return result, Masked(value, levels)
