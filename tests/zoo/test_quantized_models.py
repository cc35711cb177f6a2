"""What onnxruntime's quantizer makes of models: their units, and parity.

`python -m tools.variants quantized` does the same for larger models.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import run, to_proto, units_of
from small_quantized import WAYS, channels, tokens

import onnxprune as op
from onnxprune.graph import Graph, load
from onnxprune.importance.magnitude import l1
from onnxprune.ops.stored import numbers
from onnxprune.rewrite import recall
from onnxprune.units import Units
from onnxprune.verification import Verifier
from onnxprune.verification.compare import differences
from onnxprune.verification.references import removed_slices, zero_masked

pytest.importorskip("torch")

pytestmark = pytest.mark.torch

CASES = [(model, way) for model in (channels, tokens) for way in WAYS]


def sizes(units: Units) -> list[int]:
    return sorted(unit.num_channels for unit in units.mutable)


@pytest.mark.parametrize(("model", "way"), CASES)
def test_units_and_parity(model: Callable[[], onnx.ModelProto], way: str) -> None:
    """A quantised model has the units of the float one, and loses them with proof."""
    units = units_of(WAYS[way](model()))
    assert sizes(units) == sizes(units_of(model()))
    verifier = Verifier(units)
    op.choose(units, op.ratio(0.5))
    for seed in (None, 0, 1, 2):
        if seed is not None:
            op.sample(units, seed)
        for reference in ("auto", "torch"):
            verdict = verifier.verify(op.prune(units), reference)
            assert verdict.passed, verdict.problems


@pytest.mark.parametrize("way", [way for way in WAYS if way != "dynamic"])
def test_integers_agree_to_the_last_bit(way: str) -> None:
    """Masked by zero points, integers add up to the same sums: nothing is left to rounding."""
    units = units_of(WAYS[way](channels()))
    verifier = Verifier(units)
    for seed in range(3):
        op.sample(units, seed)
        verdict = verifier.verify(op.prune(units), "zero-masking")
        assert (verdict.passed, verdict.max_error, verdict.notes) == (True, 0.0, [])


def nudged(graph: Graph, name: str) -> Graph:
    """A graph with one weight a step larger."""
    model = graph.model.clone()
    value = model.graph.initializers[name]
    assert value.const_value is not None
    array = value.const_value.numpy().copy()
    place = np.unravel_index(np.abs(array.astype(int)).argmin(), array.shape)
    array[place] += 20
    value.const_value = ir.tensor(array, name=name)
    return load(ir.to_proto(model))


@pytest.mark.parametrize("model", [channels, tokens])
@pytest.mark.parametrize("way", ["qdq", "operators", "dynamic"])
def test_a_wrong_weight_is_no_rounding(model: Callable[[], onnx.ModelProto], way: str) -> None:
    units = units_of(WAYS[way](model()))
    op.choose(units, op.ratio(0.5))
    small = op.prune(units)
    weights = [
        name
        for name, value in small.initializers.items()
        if value.dtype in (ir.DataType.INT8, ir.DataType.UINT8) and len(value.shape or ()) > 1
    ]
    assert weights
    verifier = Verifier(units)
    telling = 0
    for name in weights:
        wrong = nudged(small, name)
        answers = [[run(to_proto(g), feeds) for feeds in verifier.runs] for g in (small, wrong)]
        if differences(*answers).excess > 100:
            assert not verifier.verify(wrong, "torch").passed, name
            telling += 1
    assert 3 * telling >= len(weights)


def test_weights_are_masked_by_their_zero_point() -> None:
    """Unsigned weights that are gone stand for 0, which is not the number 0."""
    units = units_of(WAYS["qdq-unsigned"](channels()))
    op.choose(units, op.ratio(0.5))
    removed = removed_slices(units)
    masked = zero_masked(units.graph, removed)
    checked = 0
    for name, axes in removed.items():
        value = masked.model.graph.initializers[name]
        if value.dtype != ir.DataType.UINT8 or isinstance(axes, np.ndarray):
            continue
        array = numbers(value)
        assert array is not None
        for axis, indices in axes.items():
            assert (array.take(indices, axis) == 0).all()
        assert array.any()
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_those_of_what_the_weights_stand_for(way: str) -> None:
    """L1 scores differ from the float model's by no more than half a step on average."""
    before, after = units_of(channels()), units_of(WAYS[way](channels()))
    expected = sorted((l1(unit) for unit in before.mutable), key=lambda score: score.sum())
    found = sorted((l1(unit) for unit in after.mutable), key=lambda score: score.sum())
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.parametrize("way", ["qdq", "operators-channel"])
def test_what_was_kept_is_remembered(way: str) -> None:
    units = units_of(WAYS[way](channels()))
    op.sample(units, 3)
    kept = [unit.mask.copy() for unit in units.mutable]
    small = op.prune(units)
    again = units_of(WAYS[way](channels()))
    recall(again, small)
    assert all((a == unit.mask).all() for a, unit in zip(kept, again.mutable, strict=True))
