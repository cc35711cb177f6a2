"""The table of architectures of transformers, on a few of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import onnxprune as op
from models.transformers import ARCHITECTURES
from tools import transformers_table
from tools.transformers_table import Row, examined, exported, feeds_of, table

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("name", "exporter", "dynamic", "units"),
    [
        # embeddings; per layer heads, products of queries and keys, values, hidden; the pooler
        ("bert", "legacy", True, 10),
        # embeddings; per layer groups of heads, halves of what is rotated, values, hidden, experts
        ("mixtral", "legacy", False, 10),
        # three widths, of which each block's shortcut keeps one, and inside each block one
        ("convnext", "dynamo", False, 9),
    ],
)
def test_half_of_an_architecture(
    tmp_path: Path, name: str, exporter: str, dynamic: bool, units: int
) -> None:
    row = examined(name, exporter, dynamic, 2, tmp_path)  # type: ignore[arg-type]
    assert not row.failed, row
    assert row.found is not None
    assert (row.found.units, row.found.choices) == (units, 3)
    assert row.found.prunable > 0.99
    assert msgspec.json.decode(msgspec.json.encode(row), type=Row) == row


def test_results_and_refusals_are_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    refused = [
        Row("fnet", "legacy", dynamic, problem="no | graph: fft\nand more")
        for dynamic in (False, True)
    ]
    results.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in refused))
    arguments = ["--only", "fnet", "--exporter", "legacy", "--results", str(results)]
    monkeypatch.setattr("sys.argv", ["transformers_table", str(page), *arguments])
    assert transformers_table.main() == 0
    text = page.read_text()
    assert text.endswith("| fnet, legacy, dynamic | | | | | | | | | | no / graph: fft and more |\n")
    assert "0 graphs; with a failure: 0; what an exporter refuses: 2" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 1


def test_a_graph_that_cannot_be_examined_is_a_failure() -> None:
    row = Row("bert", "dynamo", False, "sdpa", problem="KeyError: no")
    assert row.failed
    assert "with a failure: 1" in table([row])


def test_a_refusal_is_kept_beside_the_exports(tmp_path: Path) -> None:
    architecture = ARCHITECTURES["fnet"]
    path, attention, reason = exported(architecture, "legacy", False, tmp_path)
    assert (path, attention) == (None, "")
    assert "fft" in reason
    (refusal,) = tmp_path.iterdir()
    refusal.write_text("as it was")
    assert exported(architecture, "legacy", False, tmp_path) == (None, "", "as it was")


def test_a_graph_that_is_read_otherwise_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = op.load

    def misread(path: Path) -> op.Graph:
        graph = load(path)
        bias = graph.initializers["model.classifier.bias"]
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(0.1))
        return graph

    monkeypatch.setattr(op, "load", misread)
    found = examined("bert", "legacy", False, 1, tmp_path).found
    assert found is not None
    assert found.failed
    assert "differs from its source" in found.note


def test_feeds_have_other_sizes_where_sizes_are_open(tmp_path: Path) -> None:
    architecture = ARCHITECTURES["bert"]
    path, _, _ = exported(architecture, "legacy", True, tmp_path)
    assert path is not None
    feeds = feeds_of(architecture, path, dynamic=True)
    assert feeds["input_ids"].shape == (3, 11)
    assert 0 < feeds["attention_mask"].mean() < 1
