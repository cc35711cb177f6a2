from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.helpers import proto
from tools import real_models
from tools.catalog import Feed, Model
from tools.real_models import examine_model, main, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A network of which a third is a table that no rule can cut."""
    model = proto(
        "(float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) "
        "{ h = Conv(x, w1, b1) r = Relu(h) z = Conv(r, w2) y = Add(z, table) }",
        "w1 8 3 1 1, b1 8, w2 4 8 1 1, table 4 1 8",
    )
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def model(**whole: str) -> Model:
    feeds = {"x": Feed((1, 3, 8, 8))}
    return Model("net", "a net", "package", "1.0", "net.onnx", "", "MIT", feeds, whole)


def test_every_ratio_is_pruned_and_verified(file: Path):
    result = examine_model(model(table="An axis of time."), file, samples=2)
    assert not result.failed
    assert [row.choices for row in result.rows] == [1, 3, 1]
    assert all(row.references == ("zero-masking", "torch") for row in result.rows)
    page = write([result], samples=2)
    assert "| net | 0.2 | 96 -> 40 |" in page
    assert "An axis of time." in page
    assert "failed: none" in page


def test_what_stays_whole_without_an_explanation_is_a_failure(file: Path):
    result = examine_model(model(), file, samples=0)
    assert result.failed
    assert "a graph output keeps its shape" in result.problem
    assert "failed: net" in write([result], samples=0)


def test_the_exit_code_tells_of_a_failure(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = tmp_path / "page.md"
    for entry, code in ((model(table="An axis of time."), 0), (model(), 1)):
        monkeypatch.setattr(real_models, "MODELS", {"net": entry})
        monkeypatch.setattr(real_models, "fetch", lambda models, _: ((m, file) for m in models))
        assert main([str(page), "--samples", "0"]) == code
        assert "| net | a net | package==1.0 | MIT |" in page.read_text()
