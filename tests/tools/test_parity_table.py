"""The table of parity: its rows, and going on from a file of results."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch")

from tools import parity_table
from tools.parity_table import Row, compared

pytestmark = pytest.mark.torch


def test_rows_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = compared("LayerNorm", "legacy", 3)
    assert row.passed
    assert str(row).startswith("| LayerNorm, legacy | 3 | 0 | ")
    assert "| 1 of 3 |" in str(row), "zero is not missing to a norm"
    assert msgspec.json.decode(msgspec.json.encode(row), type=Row) == row

    results, table = tmp_path / "results.jsonl", tmp_path / "table.md"
    failed = Row("LayerNorm", "dynamo", None, "OnnxPruneError: no")
    results.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in (row, failed)))
    arguments = [str(table), "--only", "LayerNorm", "--results", str(results), "--choices", "3"]
    monkeypatch.setattr("sys.argv", ["parity_table", *arguments])
    assert parity_table.main() == 1
    text = table.read_text()
    assert text.endswith(f"{failed}\n{row}\n")
    assert "exports with a failure: 1" in text


def test_a_model_that_cannot_be_compared_is_a_row() -> None:
    row = compared("LayerNorm", "neither", 3)  # type: ignore[arg-type]
    assert not row.passed
    assert "there is no exporter 'neither'" in str(row)
