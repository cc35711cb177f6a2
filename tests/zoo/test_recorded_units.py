"""Names and channels of units, as MMRazor 1.0.0 (commit 90c7af1f) was recorded to find them.

Layers with parameters only; in MMRazor's list a layer named `linear` is hidden by the function.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import onnxprune as op
import onnxprune.torch as ot
from models.toys import TOYS

pytestmark = pytest.mark.torch

RECORDED = [
    ("Chain", "net.0_(0, 8)_8", "net.0[0:8] net.1[0:8]", "net.1[0:8] net.3[0:8]"),
    ("Chain", "net.3_(0, 16)_16", "net.3[0:16] net.4[0:16]", "net.4[0:16] linear[0:16]"),
    (
        "Residual",
        "op1_(0, 8)_8",
        "op1[0:8] bn1[0:8] op2[0:8] bn2[0:8]",
        "bn1[0:8] op2[0:8] bn2[0:8] op3[0:8]",
    ),
    ("Residual", "op3_(0, 8)_8", "op3[0:8]", "fc[0:8]"),
    ("Concat", "op1_(0, 8)_8", "op1[0:8] bn1[0:8]", "bn1[0:8] op3[0:8]"),
    ("Concat", "op2_(0, 8)_8", "op2[0:8] bn2[0:8]", "bn2[0:8] op3[8:16]"),
    ("Concat", "op3_(0, 8)_8", "op3[0:8]", "fc[0:8]"),
    ("UnequalConcats", "op1_(0, 2)_2", "op1[0:2] op3[0:2]", "op5[0:2]"),
    ("UnequalConcats", "op2_(0, 2)_2", "op2[0:2] op3[2:4]", "op5[2:4]"),
    ("UnequalConcats", "op2_(2, 6)_4", "op2[2:6] op4[0:4]", "op5[4:8]"),
    ("UnequalConcats", "op5_(0, 16)_16", "op5[0:16]", "fc[0:16]"),
    (
        "Depthwise",
        "net.0_(0, 48)_48",
        "net.0[0:48] net.1[0:48] net.3[0:48] net.4[0:48]",
        "net.1[0:48] net.3[0:48] net.4[0:48] linear[0:48]",
    ),
    ("FlattenedImage", "net.0_(0, 8)_8", "net.0[0:8] net.1[0:8]", "net.1[0:8] net.3[0:8]"),
    ("FlattenedImage", "net.3_(0, 16)_16", "net.3[0:16] net.4[0:16]", "net.4[0:16] linear[0:64]"),
    ("Product", "op1_(0, 8)_8", "op1[0:8] op2[0:8]", "op3[0:8] op4[0:8]"),
    ("Product", "op3_(0, 16)_16", "op3[0:16] op4[0:16]", "fc[0:16]"),
    ("NestedConcat", "op1_(0, 8)_8", "op1[0:8]", "op4[0:8]"),
    ("NestedConcat", "op2_(0, 8)_8", "op2[0:8]", "op4[8:16]"),
    ("NestedConcat", "op3_(0, 8)_8", "op3[0:8]", "op4[16:24]"),
    ("NestedConcat", "op4_(0, 8)_8", "op4[0:8]", "fc[0:8]"),
]


@pytest.mark.parametrize("toy", sorted({row[0] for row in RECORDED}))
def test_names_and_channels(toy: str) -> None:
    units = op.find_units(ot.trace(TOYS[toy].build(), TOYS[toy].example(2)))
    recorded = [row[1:] for row in RECORDED if row[0] == toy]
    assert [unit.name for unit in units.mutable] == [name for name, _, _ in recorded]
    for name, outputs, inputs in recorded:
        for channels, expected in (
            (units[name].output_related, outputs),
            (units[name].input_related, inputs),
        ):
            found = {f"{c.name}[{c.index[0]}:{c.index[1]}]" for c in channels}
            assert found == set(expected.split()), name
