"""The table of variants: a model is exported, changed, pruned and checked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from onnxruntime.quantization import QuantFormat

from tools import variants
from tools.variants import FAMILIES, Variant, main

pytestmark = pytest.mark.torch


def _refuse(source: Path, target: Path) -> None:
    raise ValueError("not this one")


def test_rows_of_a_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    way = partial(variants._static, style=QuantFormat.QDQ, per_channel=True)
    family = {"qdq": Variant(way, ("fashionnet",)), "no": Variant(_refuse, ("fashionnet",))}
    monkeypatch.setitem(FAMILIES, "quantized", family)
    page = tmp_path / "page.md"
    arguments = [str(page), "--family", "quantized", "--samples", "1", "--models", str(tmp_path)]
    assert main([*arguments, "--only", "qdq"]) == 0
    said = capsys.readouterr().out
    assert "| fashionnet, qdq | " in said
    assert "fashionnet, no" not in said
    assert (tmp_path / "fashionnet.qdq.onnx").exists()
    written = page.read_text(encoding="utf-8")
    assert "## Quantized\n" in written
    assert "wrong: none; what a tool refuses to make or to run: none." in written
    assert main(arguments) == 1
    assert "the tool refuses it: ValueError('not this one')" in capsys.readouterr().out


def test_every_variant_names_models_that_there_are() -> None:
    names = {name for family in FAMILIES.values() for v in family.values() for name in v.models}
    assert names <= {*variants.ZOO, *variants.ARCHITECTURES}
