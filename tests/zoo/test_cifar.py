"""The CIFAR-10 networks: their units by both exporters, and the trained files."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

import onnxprune as op
from onnxprune.verification import Verifier, why_inexact

pytest.importorskip("torch")

import torch

from models import cifar, export, randomise
from models.export import EXPORTERS, Exporter
from tools.train_cifar import RECIPES

pytestmark = pytest.mark.torch

MODELS = Path("models")
UNITS = {
    # each stage's residual stream, and inside each block
    "resnet20": Counter(channel=3 + 9),
    "resnet56": Counter(channel=3 + 27),
    # two convolutions of the stem, the residual stream, and in each block what is between fc1 and
    # fc2; heads; sizes: queries are multiplied with keys, values with the output
    "vit": Counter({"channel": 2 + 1 + 6, "head": 6, "head-size": 2 * 6}),
}


def roles(units: op.Units) -> Counter[str]:
    """How many units of each role may lose channels."""
    return Counter(unit.role for unit in units.mutable)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ["resnet20", "vit"])
def test_units_and_parity(name: str, exporter: Exporter, tmp_path: Path) -> None:
    example = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    module = randomise(getattr(cifar, name)(), 1, (example,))
    path = export(module, example, tmp_path / "model.onnx", exporter=exporter, dynamic=True)
    units = op.find_units(path)
    assert roles(units) == UNITS[name]
    assert units.prunable_share() > 0.999
    verifier = Verifier(units)
    op.choose(units, op.ratio(0.5))
    references = ("torch",) if any(why_inexact(units)) else ("torch", "zero-masking")
    for seed in (None, 0, 1):
        if seed is not None:
            op.sample(units, seed)
        for reference in references:
            verdict = verifier.verify(op.prune(units), reference)
            assert verdict.passed, verdict.problems


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_attention_is_two_products_around_a_softmax(exporter: Exporter, tmp_path: Path) -> None:
    """No exporter fuses it: each projection is a node, with weights that can be fitted alone."""
    module = cifar.CifarViT(depth=2, width=32, heads=2, hidden=32)
    path = export(module, torch.rand(2, 3, 32, 32), tmp_path / "vit.onnx", exporter=exporter)
    nodes = op.load(path).nodes
    softmaxes = [node for node in nodes if node.op_type == "Softmax"]
    assert len(softmaxes) == 2
    for softmax in softmaxes:
        (after,) = softmax.outputs[0].consumers()
        before = softmax.inputs[0].producer()
        assert (before.op_type, after.op_type) == ("MatMul", "MatMul")
    assert sum(node.op_type == "MatMul" for node in nodes) == 2 * (4 + 2 + 2)


@pytest.mark.parametrize("name", RECIPES)
def test_a_trained_file_is_what_its_page_says(name: str) -> None:
    path = MODELS / f"{name}_cifar10.onnx"
    page = (MODELS / "cifar.md").read_text()
    content = path.read_bytes()
    assert f"`{path.name}`" in page
    assert hashlib.sha256(content).hexdigest() in page
    assert f"{len(content):,} bytes" in page
    units = op.find_units(path)
    assert roles(units) == UNITS[name]
    parameters = sum(p.numel() for p in getattr(cifar, name)().parameters())
    assert f" {parameters:,} " in page
    assert f" {op.cost(units.graph).macs:,} " in page


@pytest.mark.parametrize("name", RECIPES)
def test_a_trained_file_is_pruned_and_verified(name: str) -> None:
    units = op.find_units(MODELS / f"{name}_cifar10.onnx")
    op.choose(units, op.macs(0.5))
    op.verify(units, op.prune(units)).check()
