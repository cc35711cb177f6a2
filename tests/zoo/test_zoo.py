"""Every model of the zoo, exported by torch: its units, and parity at half and at random choices.

Each is exported one way, the four ways in turn; `make table` does the same for every way, at ten
random choices.
"""

import itertools
from pathlib import Path

import pytest

import onnxprune as op
from onnxprune.verification import Verifier, why_inexact

pytest.importorskip("torch")

from models import ZOO, Entry, export
from models.export import EXPORTERS, Exporter

pytestmark = pytest.mark.torch

LARGE = ("alexnet", "vgg11_bn", "vgg16_bn")
WAYS = itertools.cycle(itertools.product(EXPORTERS, (True, False)))
CASES = [(name, *way) for name, way in zip(ZOO, WAYS, strict=False) if name != "vgg16_bn"]


def exported(
    entry: Entry,
    path: Path,
    exporter: Exporter,
    dynamic: bool = False,
    optimize: bool | None = None,
) -> op.Units:
    """The units of a freshly exported model."""
    export(
        entry.randomised(seed=1),
        entry.example(batch=2 if dynamic else 1),
        path,
        exporter=exporter,
        dynamic=dynamic,
        optimize=optimize,
        opset=entry.opset,
        outputs=entry.outputs,
    )
    return op.find_units(path)


@pytest.mark.parametrize(("name", "exporter", "dynamic"), CASES)
def test_units_and_parity(name: str, exporter: Exporter, dynamic: bool, tmp_path: Path) -> None:
    entry = ZOO[name]
    units = exported(entry, tmp_path / "model.onnx", exporter, dynamic)
    assert len(units.mutable) == entry.units
    assert units.prunable_share() >= entry.prunable
    op.choose(units, op.ratio(0.5))
    verifier = Verifier(units)
    pruned = op.prune(units)
    exact = not list(why_inexact(units))
    for reference in ("zero-masking", "torch") if exact else ("torch",):
        verdict = verifier.verify(pruned, reference)
        assert verdict.passed, verdict.problems
        assert not verdict.notes
    for seed in range(1 if name in LARGE else 2):
        op.sample(units, seed)
        verdict = verifier.verify(op.prune(units))
        assert verdict.passed, verdict.problems


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_batch_norms_that_were_not_folded(name: str, tmp_path: Path) -> None:
    units = exported(ZOO[name], tmp_path / "model.onnx", "legacy", optimize=False)
    assert any(node.op_type == "BatchNormalization" for node in units.graph.nodes)
    assert len(units.mutable) == ZOO[name].units
    op.choose(units, op.ratio(0.5))
    op.verify(units, op.prune(units), reference="torch").check()
