"""Every model of the zoo, exported by torch: its units, and parity at half and at random choices.

`make table` does the same for every exporter, static and dynamic, at ten random choices.
"""

from pathlib import Path

import pytest

import onnxprune as op
from onnxprune.verification import Verifier

pytest.importorskip("torch")

from models import ZOO, export, randomise

pytestmark = pytest.mark.torch

SMALL = [name for name, entry in ZOO.items() if entry.input_size[-1] < 224]
CASES = [
    *((name, "dynamo", True) for name in SMALL),
    *((name, "legacy", False) for name in SMALL),
    ("alexnet", "legacy", True),
    ("vgg11_bn", "legacy", True),
]


@pytest.mark.parametrize(("name", "exporter", "dynamic"), CASES)
def test_units_and_parity(name: str, exporter: str, dynamic: bool, tmp_path: Path) -> None:
    entry = ZOO[name]
    path = export(
        randomise(entry.build(), seed=1),
        entry.example(batch=2 if dynamic else 1),
        tmp_path / "model.onnx",
        exporter=exporter,  # type: ignore[arg-type]
        dynamic=dynamic,
    )
    units = op.find_units(path)
    assert len(units.mutable) == entry.units
    assert units.prunable_share() >= 0.99
    op.choose(units, op.ratio(0.5))
    verifier = Verifier(units)
    pruned = op.prune(units)
    for reference in ("zero-masking", "torch"):
        verdict = verifier.verify(pruned, reference)
        assert verdict.passed, verdict.problems
        assert not verdict.notes
    for seed in range(1 if entry.input_size[-1] >= 224 else 3):
        op.sample(units, seed)
        verdict = verifier.verify(op.prune(units))
        assert verdict.passed, verdict.problems


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_batch_norms_that_were_not_folded(name: str, tmp_path: Path) -> None:
    entry = ZOO[name]
    path = export(
        randomise(entry.build(), seed=2),
        entry.example(),
        tmp_path / "model.onnx",
        exporter="legacy",
        optimize=False,
    )
    units = op.find_units(path)
    assert any(node.op_type == "BatchNormalization" for node in units.graph.nodes)
    assert len(units.mutable) == entry.units
    op.choose(units, op.ratio(0.5))
    op.verify(units, op.prune(units), reference="torch").check()
