"""Graphs in the words of other frameworks' converters: their units, and parity.

`python -m tools.converted` does the same for real models of Keras and Paddle.
"""

from __future__ import annotations

import pytest
from small_nhwc import MODELS

import onnxprune as op
from onnxprune.verification import Verifier
from onnxprune.verification.references import why_inexact

pytest.importorskip("torch")

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", MODELS)
def test_units_and_parity(name: str) -> None:
    make, sizes = MODELS[name]
    units = op.find_units(make())
    assert [unit.num_channels for unit in units.mutable] == list(sizes)
    frozen = [b for b in units.barriers() if b.kind != "boundary" and "single" not in b.reason]
    assert frozen == []
    verifier = Verifier(units)
    op.choose(units, op.ratio(0.5))
    for seed in (None, 0, 1, 2, 3):
        if seed is not None:
            op.sample(units, seed)
        small = op.prune(units)
        for reference in ("torch",) if any(why_inexact(units)) else ("torch", "zero-masking"):
            verdict = verifier.verify(small, reference)
            assert verdict.passed, verdict.problems
