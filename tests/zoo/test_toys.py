"""Small structures, by both exporters: their units, parity, and what MMRazor finds of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import onnxprune as op
from onnxprune.units import Units
from onnxprune.verification import Verifier
from onnxprune.verification.references import why_inexact

pytest.importorskip("torch")

from torch import nn

from models import export, randomise
from models.export import EXPORTERS, Exporter
from models.toys import TOYS, Toy

pytestmark = pytest.mark.torch

Places = frozenset[tuple[str, int]]
"""What goes with one channel: (module, index of its outputs)."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def parsed(text: str) -> frozenset[Places]:
    """The channels of a unit from its text, which `models.toys` explains."""
    sides = [
        list(itertools.chain.from_iterable(map(_places, side.split("+"))))
        for side in text.split("=")
    ]
    return frozenset(frozenset().union(*places) for places in zip(*sides, strict=True))


def _places(text: str) -> list[Places]:
    match = re.fullmatch(r"([\w.]+)\[(\d+):(\d+)\](?:([/%])(\d+))?", text)
    assert match is not None, text
    name, start, end, sign, size = match.groups()
    indices = np.arange(int(start), int(end))
    table = indices.reshape(-1, 1 if sign is None else int(size))
    return [frozenset((name, int(i)) for i in row) for row in (table.T if sign == "%" else table)]


def found(units: Units, module: nn.Module) -> list[frozenset[Places]]:
    """The channels of every unit, in the layers that produce them."""
    layers = {name for name, child in module.named_modules() if isinstance(child, LAYERS)}
    return [
        frozenset(
            frozenset(
                (name, int(i))
                for channel in unit.output_related
                if (name := channel.name) in layers
                for i in channel.positions[number]
            )
            for number in range(unit.num_channels)
        )
        for unit in units.mutable
    ]


def name_of(text: str) -> str | None:
    """The name that MMRazor gives such a unit, None for one that it does not know."""
    match = re.fullmatch(r"([\w.]+)\[(\d+):(\d+)\](=.*)?", text)
    if match is None:
        return None
    name, start, end, _ = match.groups()
    return f"{name}_{(int(start), int(end))}_{int(end) - int(start)}"


def exported(toy: Toy, module: nn.Module, path: Path, exporter: Exporter, dynamic: bool) -> Units:
    """The units of an exported toy."""
    return op.find_units(
        export(module, toy.example(2 if dynamic else 1), path, exporter=exporter, dynamic=dynamic)
    )


def references(units: Units) -> Sequence[str]:
    """What the units' choices can be compared with."""
    return ("torch",) if any(why_inexact(units)) else ("torch", "zero-masking")


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", TOYS)
def test_units_and_parity(name: str, exporter: Exporter, dynamic: bool, tmp_path: Path) -> None:
    toy = TOYS[name]
    module = randomise(toy.build(), seed=1)
    units = exported(toy, module, tmp_path / "toy.onnx", exporter, dynamic)
    assert Counter(found(units, module)) == Counter(map(parsed, toy.units))
    names = {name_of(text) for text in toy.units} - {None}
    assert names <= {unit.name for unit in units.mutable}
    verifier = Verifier(units)
    op.choose(units, op.ratio(0.5))
    for seed in (None, *range(10)):
        if seed is not None:
            op.sample(units, seed)
        for reference in references(units):
            verdict = verifier.verify(op.prune(units), reference)
            assert verdict.passed, verdict.problems


@pytest.mark.parametrize("name", [name for name, toy in TOYS.items() if toy.wrong is None])
def test_every_choice_of_the_original_is_one_of_ours(name: str) -> None:
    """What MMRazor can remove, together or alone, is a union of what can be removed here."""
    toy = TOYS[name]
    ours = [places for unit in toy.units for places in parsed(unit)]
    for unit in toy.original:
        for places in parsed(unit):
            parts = [part for part in ours if part <= places]
            assert frozenset().union(*parts) == places


@pytest.mark.parametrize("name", [name for name, toy in TOYS.items() if toy.wrong is not None])
def test_where_the_original_is_wrong(name: str, tmp_path: Path) -> None:
    """Where MMRazor answers wrongly: channels go one by one, and none stands for another."""
    toy = TOYS[name]
    units = exported(toy, randomise(toy.build(), 3), tmp_path / "toy.onnx", "dynamo", True)
    verifier = Verifier(units)
    for unit in units.mutable:
        for i, j in itertools.pairwise(range(min(unit.num_channels, 4))):
            unit.current_choice = np.arange(unit.num_channels) != i
            small = op.prune(units)
            for reference in ("zero-masking", "torch"):
                verdict = verifier.verify(small, reference)
                assert verdict.passed, verdict.problems
            unit.current_choice = np.arange(unit.num_channels) != j
            assert not verifier.verify(small, "zero-masking").passed
        unit.current_choice = unit.num_channels
