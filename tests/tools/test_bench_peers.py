from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from models import ZOO, Entry
from tests.helpers import proto
from tools import bench_peers, peers
from tools.bench_peers import Comparison, Found, main, write
from tools.peers import measure, output_layers


def document(total: float, peak: int = 10, problem: str = "") -> dict[str, object]:
    seconds = {"analysis": total, "rewrite": 0.0}
    return {"seconds": seconds, "peak": peak, "before": 4, "after": 2, "problem": problem}


def comparison(name: str, ours: dict[str, object], theirs: dict[str, object]) -> Comparison:
    found = Comparison(name)
    found.ours.add(ours)
    found.theirs.add(theirs)
    return found


def test_the_best_of_all_processes_counts():
    found = Found()
    for total, peak in ((3.0, 10), (1.0, 30), (2.0, 20)):
        found.add(document(total, peak))
    assert (found.total, found.peak, found.kept) == (1.0, 10, 0.5)


def test_median_and_worst_leave_failures_out():
    found = [
        comparison("a", document(1.0, 10), document(2.0, 5)),
        comparison("b", document(1.0, 10), document(4.0, 40)),
        comparison("c", document(3.0, 20), document(1.0, 10)),
        comparison("d", document(9.0), document(1.0, problem="KeyError: no | rule")),
        comparison("e", document(1.0, problem="no"), document(9.0)),
    ]
    page = write(found, rounds=1, passes=1)
    assert "| time, onnxprune / Torch-Pruning | 0.50 | 3.00 |" in page
    assert "| memory, onnxprune / Torch-Pruning | 2.00 | 2.00 |" in page
    assert "failed: d (torch-pruning), e (onnxprune)" in page
    assert "KeyError: no &#124; rule" in page
    assert len({line.count("|") for line in page.splitlines() if line.startswith("| ")}) == 2


def test_the_layers_of_the_outputs_are_found():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.box = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
            self.norm, self.classes = nn.BatchNorm2d(2), nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.body(x).relu()
            return self.norm(self.box(x)).sigmoid(), self.classes(x.mean((2, 3)))

    module = Heads().eval()
    assert set(output_layers(module, (torch.rand(1, 3, 4, 4),))) == {module.box, module.classes}


def test_a_measurement_has_every_stage_and_a_checked_result(tmp_path: Path):
    model = proto(
        "(float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) "
        "{ h = Conv(x, w1) r = Relu(h) y = Conv(r, w2) }",
        "w1 8 3 1 1, w2 4 8 1 1",
    )
    onnx.save(model, tmp_path / "net.onnx")
    found = measure("onnxprune", "fashionnet", tmp_path / "net.onnx", passes=2)
    assert not found.problem
    assert set(found.seconds) == {"load", "analysis", "choice", "rewrite"}
    assert (found.before, found.after) == (56, 28)


def test_a_failure_is_told_and_no_result(tmp_path: Path):
    found = measure("onnxprune", "fashionnet", tmp_path / "absent.onnx", passes=1)
    assert found.problem.startswith("LoadError: ")


def test_the_peak_counts_what_a_pass_takes():
    found = peers.Measurement()
    with found.memory():
        taken = bytearray(64 << 20)
        taken[:: 1 << 12] = b"x" * len(taken[:: 1 << 12])
        del taken
    assert 60 << 20 < found.peak < 100 << 20


def test_the_exit_code_tells_of_a_failure_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_peers, "install_peer", lambda folder: None)
    entry = Entry("net", nn.Identity, (1,), units=1)
    monkeypatch.setattr(bench_peers, "ZOO", {"net": entry})
    for failing, code in (("torch-pruning", 0), ("onnxprune", 1), ("export", 1)):
        monkeypatch.setattr(
            bench_peers,
            "_measure",
            lambda tool, *_, failing=failing: document(1.0, 1, "no" if tool == failing else ""),
        )
        assert main([str(tmp_path / "page.md")]) == code
    assert "net" not in ZOO
