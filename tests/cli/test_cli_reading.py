"""inspect, units and explain."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from commands import Run
from helpers import proto


def test_inspect(run: Run) -> None:
    lines = run("inspect", "model.onnx").out.splitlines()
    assert "model       model.onnx" in lines
    assert "input       x: float[n, 3, 8, 8]" in lines
    assert "output      y: float[n, 4]" in lines
    assert "parameters  1,460" in lines
    assert "MACs        87,616" in lines
    assert any(line.startswith("units       2 may lose channels; they reach 99") for line in lines)


def test_inspect_in_json(run: Run, folder: Path) -> None:
    report = run("inspect", "model.onnx", "--format", "json").json
    assert report["schema"] == "onnxprune.inspect/1"
    assert report["params"] == 8 * 27 + 8 + 16 * 72 + 16 + 4 * 16 + 4
    assert report["macs"] == 64 * 8 * 27 + 64 * 16 * 72 + 64
    assert report["bytes"] == (folder / "model.onnx").stat().st_size
    assert report["units"] == 2
    assert report["pruned"] == 0
    assert {barrier["node"] for barrier in report["barriers"]} == {"x", "y"}


def test_bytes_count_the_external_data(run: Run, folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, "split.onnx", save_as_external_data=True, location="w", size_threshold=0)
    report = run("inspect", "split.onnx", "--format", "json").json
    sizes = [(folder / name).stat().st_size for name in ("split.onnx", "w")]
    assert report["bytes"] == sum(sizes)


def test_inspect_tells_how_often_a_model_was_pruned(run: Run) -> None:
    run("prune", "model.onnx", "--ratio", "0.5", "-o", "a.onnx", "--no-verify")
    run("prune", "a.onnx", "--ratio", "0.5", "-o", "b.onnx", "--no-verify")
    assert "pruned      1 time by onnxprune" in run("inspect", "a.onnx").out
    assert "pruned      2 times by onnxprune" in run("inspect", "b.onnx").out
    assert run("inspect", "b.onnx", "--format", "json").json["pruned"] == 2


def test_units(run: Run) -> None:
    assert run("units", "model.onnx").out == (
        "net.conv0_(0, 8)_8    net.conv0 -> net.conv1\nnet.conv1_(0, 16)_16  net.conv1 -> head\n"
    )


def test_all_units(run: Run) -> None:
    out = run("units", "model.onnx", "--all").out
    assert "[stays whole: 'y': a graph output keeps its shape]" in out
    assert len(out.splitlines()) == 4


def test_units_in_json(run: Run) -> None:
    units = run("units", "model.onnx", "--format", "json").json
    assert [unit["is_mutable"] for unit in units] == [False, True, True, False]
    first = units[1]
    assert first["name"] == "net.conv0_(0, 8)_8"
    assert (first["num_channels"], first["kept"], first["why_not"]) == (8, 8, None)
    assert (first["output_related"], first["input_related"]) == (["net.conv0"], ["net.conv1"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("net.conv0_(0, 8)_8", "It may lose channels."),
        ("head_(0, 4)_4", "It must stay whole: 'y': a graph output keeps its shape."),
        ("head.weight", "axis 0: head_(0, 4)_4; stays whole: 'y': a graph output keeps its shape"),
        ("net.conv1.weight", "axis 1: net.conv0_(0, 8)_8"),
    ],
)
def test_explain(run: Run, name: str, says: str) -> None:
    assert says in run("explain", "model.onnx", name).out
    lines = run("explain", "model.onnx", name, "--format", "json").json
    assert says in "\n".join(lines)


def test_explain_an_operator_that_nobody_knows(run: Run) -> None:
    body = "(float[N,3] x) => (float[N,2] y) { a = MatMul(x, w)\n b = com.acme.Magic(a)\n"
    model = proto(f"{body} y = MatMul(b, v) }}", "w 3 4, v 4 2")
    model.graph.node[1].name = "magic"
    onnx.save(model, "magic.onnx")
    said = run("explain", "magic.onnx", "magic").out
    assert said == "Magic 'magic'\n  barrier: no rule for the operator com.acme::Magic\n"
    assert "barrier     Magic 'magic': no rule for" in run("inspect", "magic.onnx").out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(run: Run, arguments: list[str]) -> None:
    out = run(*arguments).out
    for command in ("inspect", "units", "explain", "prune", "verify", "rules"):
        assert f"\n  {command} " in out
        assert run(command, "--help").out.startswith(f"Usage: onnxprune {command} ")


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("onnxprune, version ")
