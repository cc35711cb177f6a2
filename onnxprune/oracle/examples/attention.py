"""Attention and rotary embeddings: those of ONNX as onnxruntime runs them, and its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxprune.oracle.evaluate import Array
from onnxprune.oracle.examples.example import Example, Operand, example

__all__ = ["attention"]

_POSITIONS = np.array([[0, 3, 1], [2, 4, 5]])


def attention() -> Iterator[Example]:
    """The examples."""
    yield from _plain()
    yield from _plain_rotary()
    yield from _projected()
    yield from _separate()
    yield from _one_position()
    yield from _grouped()
    yield from _rotary()


def _ints(*numbers: int) -> Array:
    return np.array(numbers, np.int32)


def _mask(*shape: int) -> Array:
    """Where to look: mostly 1, and never all 0."""
    mask = np.random.default_rng(len(shape)).random(shape) < 0.6
    mask[..., :2] = True
    return mask.astype(np.int32)


def _plain() -> Iterator[Example]:
    def made(*operands: Operand, opset: int = 23, results: int = 1, **attributes: Any) -> Example:
        return example("Attention", *operands, opset=opset, results=results, **attributes)

    rows, heads = {"q_num_heads": 6, "kv_num_heads": 3}, ((2, 6, 4, 5), (2, 3, 7, 5), (2, 3, 7, 8))
    wide = ((2, 4, 30), (2, 7, 15), (2, 7, 24))
    yield made(*wide, **rows)
    yield made(*wide, scale=0.3, softcap=1.5, **rows)
    yield made(*wide, (2, 6, 4, 7), **rows)
    yield made(*wide, (1, 1, 4, 7), **rows)
    yield made(*wide, _mask(4, 7).astype(bool), **rows)
    yield made(*wide, is_causal=1, **rows)
    past = (2, 3, 2, 5), (2, 3, 2, 8)
    yield made(*wide, None, *past, results=3, **rows)
    yield made(*wide, (4, 9), *past, results=3, is_causal=1, **rows)
    yield made(*heads)
    yield made(*heads, (6, 4, 7), results=4)
    yield made(*heads, None, None, None, np.array([3, 7]), opset=24)
    yield made((2, 6, 4, 5), (2, 6, 7, 5), (2, 6, 7, 5), (2, 6, 4, 7))


def _plain_rotary() -> Iterator[Example]:
    for interleaved in (0, 1):

        def made(*operands: Operand, turned: int = interleaved, **attributes: Any) -> Example:
            name = "RotaryEmbedding"
            return example(name, *operands, opset=23, interleaved=turned, **attributes)

        yield made((2, 3, 30), (9, 3), (9, 3), _POSITIONS, num_heads=5)
        part = {"num_heads": 5, "rotary_embedding_dim": 4}
        yield made((2, 3, 30), (2, 3, 2), (2, 3, 2), **part)
        yield made((2, 5, 3, 8), (2, 3, 2), (2, 3, 2), **part)


def _projected() -> Iterator[Example]:
    def made(*operands: Operand, results: int = 1, **attributes: Any) -> Example:
        return example("com.microsoft::Attention", *operands, results=results, **attributes)

    plain: tuple[Operand, ...] = ((2, 5, 10), (10, 36), (36,))
    yield made(*plain, num_heads=3)
    yield made(*plain[:2], num_heads=3, scale=0.2)
    yield made((2, 5, 10), (10, 42), (42,), num_heads=3, qkv_hidden_sizes=[12, 12, 18])
    yield made(*plain, num_heads=3, unidirectional=1)
    for mask in (_mask(2, 5), _mask(2, 5, 5), _ints(3, 5), _ints(4, 5, 0, 1)):
        yield made(*plain, mask, num_heads=3)
    for bias in ((2, 3, 5, 5), (1, 1, 5, 5)):
        yield made(*plain, None, None, bias, num_heads=3)
    yield made(*plain, _mask(2, 5), None, (1, 3, 5, 5), num_heads=3)
    yield made(*plain, None, (2, 2, 3, 4, 4), num_heads=3, results=2)
    yield made(*plain, _mask(2, 9), (2, 2, 3, 4, 4), num_heads=3, results=2, unidirectional=1)
    yield made(*plain, num_heads=3, results=2)


def _separate() -> Iterator[Example]:
    def made(*operands: Operand, results: int = 1, **attributes: Any) -> Example:
        name = "com.microsoft::MultiHeadAttention"
        return example(name, *operands, results=results, num_heads=3, **attributes)

    plain = ((2, 5, 12), (2, 7, 12), (2, 7, 18))
    yield made(*plain)
    yield made(*plain, (42,), scale=0.4)
    yield made(plain[0], plain[0], (2, 5, 18), unidirectional=1)
    masks = _mask(2, 7), _mask(2, 5, 7), _ints(4, 7), _ints(4, 7, 0, 5, 10, 0, 7, 14)
    for mask in masks:
        yield made(*plain, (42,), mask)
    for bias in ((2, 3, 5, 7), (1, 1, 5, 7)):
        yield made(*plain, None, None, bias)
    yield made((2, 5, 12), (2, 7, 12), (2, 7, 12), results=3)
    past = (2, 3, 4, 4), (2, 3, 4, 4)
    yield made((2, 5, 12), (2, 5, 12), (2, 5, 12), (36,), None, None, *past, results=3)
    yield made((2, 5, 12), (2, 3, 7, 4), (2, 3, 7, 4))


def _one_position() -> Iterator[Example]:
    def made(*operands: Operand, results: int = 1, **attributes: Any) -> Example:
        name = "com.microsoft::DecoderMaskedMultiHeadAttention"
        return example(name, *operands, results=results, num_heads=3, **attributes)

    row, cache = (2, 1, 12), (2, 3, 6, 4)
    shared = {"results": 3, "past_present_share_buffer": 1}
    yield made(row, row, row, None, None, cache, cache, _ints(4), **shared)
    yield made(row, row, row, _mask(2, 5), (1, 3, 1, 5), cache, cache, _ints(4), **shared)
    yield made(row, cache, cache)


def _grouped() -> Iterator[Example]:
    def made(*operands: Operand, results: int = 3, **attributes: Any) -> Example:
        heads = {"num_heads": 6, "kv_num_heads": 3, **attributes}
        return example("com.microsoft::GroupQueryAttention", *operands, results=results, **heads)

    prompt = (None, None, _ints(4, 3), _ints(5))
    separate = ((2, 5, 48), (2, 5, 24), (2, 5, 24), *prompt)
    yield made(*separate)
    yield made(*separate, results=1, softcap=1.5, scale=0.2)
    yield made((2, 5, 96), None, None, *prompt)
    step = ((2, 1, 48), (2, 1, 24), (2, 1, 24))
    yield made(*step, (2, 3, 4, 8), (2, 3, 4, 8), _ints(4, 2), _ints(5))
    caches = ((9, 8), (9, 8))
    yield made((2, 5, 96), (2, 5, 48), (2, 5, 48), *prompt, *caches, do_rotary=1)
    rotated = {"do_rotary": 1, "rotary_interleaved": 1}
    yield made((2, 5, 192), None, None, *prompt, *caches, **rotated)
    yield made(*separate, None, None, None, (2, 6, 5, 5), results=4, qk_output=1)
    yield made(*separate, None, None, None, None, (6,))


def _rotary() -> Iterator[Example]:
    caches, single = ((9, 3), (9, 3)), np.array([2])
    for interleaved in (0, 1):

        def made(*operands: Operand, turned: int = interleaved, **attributes: Any) -> Example:
            name = "com.microsoft::RotaryEmbedding"
            return example(name, *operands, interleaved=turned, **attributes)

        yield made((2, 3, 30), _POSITIONS, *caches)
        yield made((2, 3, 30), single, *caches, num_heads=5)
        yield made((2, 5, 3, 6), _POSITIONS, *caches)
        part = {"num_heads": 5, "rotary_embedding_dim": 6}
        yield made((2, 3, 40), _POSITIONS, *caches, **part)
        yield made((2, 5, 3, 8), _POSITIONS, *caches, **part)
        positions = np.stack([_POSITIONS, _POSITIONS[::-1], _POSITIONS + 1])
        yield example(
            "com.microsoft::MRotaryEmbedding",
            *((2, 3, 30), positions, *caches),
            interleaved=interleaved,
            mrope_section=[1, 1, 1],
            num_heads=5,
        )
        yield example(
            "com.microsoft::MRotaryEmbedding",
            *((2, 5, 3, 6), positions, *caches),
            interleaved=interleaved,
            mrope_section=[1, 1, 1],
        )
