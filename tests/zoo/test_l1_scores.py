"""L1 scores and what they keep, against MMRazor 1.0.0 (commit 90c7af1f), recorded by running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import onnxprune as op

pytest.importorskip("torch")

import torch
from torch import nn

from models import export
from models.toys import TOYS

pytestmark = pytest.mark.torch

# The structure, its unit, the scores of the unit's first eight channels, what half of them keeps.
RECORDED: list[tuple[str, str, tuple[float, ...], tuple[int, ...]]] = [
    (
        "Chain",
        "net.0_(0, 8)_8",
        (0.303156, 0.361653, 0.420603, 0.467348, 0.503876, 0.525077, 0.575758, 0.323019),
        (3, 4, 5, 6),
    ),
    (
        "Chain",
        "net.3_(0, 16)_16",
        (0.322618, 0.360956, 0.411713, 0.453456, 0.498914, 0.548947, 0.586638, 0.32259),
        (3, 4, 5, 6, 10, 11, 12, 13),
    ),
    (
        "Residual",
        "op1_(0, 8)_8",
        (0.253236, 0.465027, 0.374077, 0.41443, 0.626039, 0.419582, 0.592404, 0.384386),
        (1, 4, 5, 6),
    ),
    (
        "Residual",
        "op3_(0, 8)_8",
        (0.318783, 0.373588, 0.422476, 0.482537, 0.527766, 0.559503, 0.604124, 0.316165),
        (3, 4, 5, 6),
    ),
    (
        "Depthwise",
        "net.0_(0, 48)_48",
        (0.307042, 0.360714, 0.415958, 0.464371, 0.508263, 0.543662, 0.593363, 0.326076),
        (
            3,
            4,
            5,
            6,
            10,
            11,
            12,
            13,
            18,
            19,
            20,
            24,
            25,
            26,
            27,
            32,
            33,
            34,
            38,
            39,
            40,
            41,
            46,
            47,
        ),
    ),
    ("UnequalConcats", "op1_(0, 2)_2", (0.309185, 0.366957), (1,)),
    ("UnequalConcats", "op2_(0, 2)_2", (0.365576, 0.415004), (1,)),
    ("UnequalConcats", "op2_(2, 6)_4", (0.37104, 0.420182, 0.458535, 0.487817), (2, 3)),
    (
        "UnequalConcats",
        "op5_(0, 16)_16",
        (0.325815, 0.354024, 0.418092, 0.445751, 0.510231, 0.53724, 0.59985, 0.31373),
        (3, 4, 5, 6, 10, 11, 12, 13),
    ),
    (
        "Concat",
        "op1_(0, 8)_8",
        (0.172651, 0.543401, 0.321687, 0.36138, 0.746695, 0.294659, 0.602325, 0.458046),
        (1, 4, 6, 7),
    ),
    (
        "Concat",
        "op2_(0, 8)_8",
        (0.345805, 0.512716, 0.177877, 0.573347, 0.64443, 0.227954, 0.822111, 0.357043),
        (1, 3, 4, 6),
    ),
    (
        "Concat",
        "op3_(0, 8)_8",
        (0.322836, 0.380782, 0.425718, 0.458187, 0.491092, 0.527161, 0.568939, 0.309543),
        (3, 4, 5, 6),
    ),
    (
        "Grouped",
        "op3_(0, 32)_32",
        (0.317793, 0.364119, 0.410196, 0.454804, 0.501066, 0.54768, 0.592387, 0.318236),
        (3, 4, 5, 6, 11, 12, 13, 17, 18, 19, 20, 24, 25, 26, 27, 31),
    ),
]


def reproducible(module: nn.Module) -> nn.Module:
    """Weights that are the same everywhere: a function of a parameter's number and of indices."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            indices = np.arange(parameter.numel())
            rows = indices // parameter[0].numel()
            wave = np.sin(0.37 * indices + 0.11 * number).astype(np.float32)
            ramp = (0.5 + 0.5 * (rows % 7) / 7).astype(np.float32)
            parameter.copy_(torch.tensor((wave * ramp).reshape(parameter.shape)))
    return module.eval()


@pytest.mark.parametrize(("toy", "name", "scores", "kept"), RECORDED)
def test_scores_and_choices(
    toy: str, name: str, scores: Sequence[float], kept: Sequence[int], tmp_path: Path
) -> None:
    entry = TOYS[toy]
    module = reproducible(entry.build())
    units = op.find_units(
        export(module, entry.example(2), tmp_path / "toy.onnx", dynamic=True, optimize=False), "l1"
    )
    unit = units[name]
    np.testing.assert_allclose(unit.scores()[: len(scores)], scores, rtol=0, atol=1e-6)
    unit.current_choice = 0.5
    assert np.flatnonzero(unit.mask).tolist() == list(kept)
