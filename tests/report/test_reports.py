"""Reports as data and as text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from helpers import proto, units_of
from small import MODELS

from onnxprune.api import choose, find_units, prune, verify
from onnxprune.budget import cost, ratio
from onnxprune.errors import ChoiceError
from onnxprune.graph import save
from onnxprune.report import (
    BarrierReport,
    explain,
    inspect_report,
    inspect_text,
    prune_report,
    prune_text,
    size_of,
    unit_reports,
    units_text,
    verify_report,
    verify_text,
)
from onnxprune.report.reports import Change, PruneReport
from onnxprune.verification import Verdict


def _report(**changes: object) -> PruneReport:
    report = PruneReport(
        output="small.onnx",
        params=Change(1000, 250),
        bytes=Change(4000, 1000),
        macs=Change(0, 0),
        changed={},
        units=3,
        prunable_params=0.99999,
        verified=True,
        max_error=1.25e-7,
        reference="torch",
        tolerance="a little",
        notes=[],
        barriers=[],
    )
    return msgspec.structs.replace(report, **changes)


def test_the_text_of_a_pruning() -> None:
    assert prune_text(_report()).splitlines() == [
        "parameters           1,000 ->            250    25.0%",
        "bytes                4,000 ->          1,000    25.0%",
        "MACs                     0 ->              0   100.0%",
        "units       3 may lose channels; they reach 99.99% of the parameters",
        "verified    yes, against torch, largest difference 1.2e-07",
        "written     small.onnx",
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tolerance": None, "reference": None, "max_error": None}, "no, as asked"),
        ({"verified": False, "reference": "", "max_error": None}, "NO"),
        (
            {"verified": False, "max_error": float("inf")},
            "NO, against torch, largest difference inf",
        ),
        ({"notes": ["so so"]}, "yes, against torch, largest difference 1.2e-07"),
    ],
)
def test_the_verdict_in_words(changes: dict[str, object], says: str) -> None:
    lines = prune_text(_report(**changes)).splitlines()
    assert f"verified    {says}" in lines
    assert ("            so so" in lines) == ("notes" in changes)


def test_all_the_parameters_are_all_of_them() -> None:
    assert "reach 100.00% of the parameters" in prune_text(_report(prunable_params=1.0))
    assert "reach 0.00% of the parameters" in prune_text(_report(prunable_params=0.0))


def test_many_barriers_are_counted() -> None:
    barriers = [BarrierReport("Op", f"n{i}", f"reason {i}", ["u"] * (i + 1)) for i in range(11)]
    lines = prune_text(_report(barriers=[BarrierReport("", "x", "input", ["u"]), *barriers]))
    assert "barrier     Op 'n0': reason 0 (1 unit)\n" in lines
    assert "barrier     Op 'n7': reason 7 (8 units)\n            and 3 more barriers\n" in lines
    assert "n8" not in lines
    assert "'x'" not in lines


def test_barriers_alike_are_one_line() -> None:
    barriers = [BarrierReport("Op", f"n{i}", "a reason", ["u"] * (i + 1)) for i in range(3)]
    lines = prune_text(_report(barriers=barriers))
    assert "barrier     Op 'n0' and 2 more: a reason (6 units)\n" in lines


def test_a_model_in_memory_has_the_bytes_of_its_weights() -> None:
    units = find_units(MODELS["chain"]())
    choose(units, ratio(0.5))
    small = prune(units)
    report = prune_report(units, small, None, ())
    assert report.bytes == Change(cost(units.graph).bytes, cost(small).bytes)
    assert inspect_report(units).bytes == cost(units.graph).bytes
    assert inspect_report(units).model == "the model"
    assert "written     no" in prune_text(report)


@pytest.mark.parametrize("external", [False, True])
def test_a_file_has_the_bytes_of_its_files(tmp_path: Path, external: bool) -> None:
    save(prune(find_units(MODELS["chain"]())), tmp_path / "model.onnx", external=external)
    units = find_units(tmp_path / "model.onnx")
    choose(units, ratio(0.5))
    small, size = prune(units), size_of(units.graph)
    files = save(small, tmp_path / "small.onnx", external=external)
    report = prune_report(units, small, None, files, size=size)
    before, after = (
        sum(path.stat().st_size for path in tmp_path.glob(f"{name}.onnx*"))
        for name in ("model", "small")
    )
    assert report.bytes == Change(before, after)
    assert len(list(tmp_path.iterdir())) == 2 + 2 * external


def test_every_report_is_json() -> None:
    units = find_units(MODELS["barred_operator"]())
    choose(units, ratio(0.5))
    small = prune(units)
    verdict = verify(units, small)
    for report in (
        inspect_report(units),
        unit_reports(units),
        prune_report(units, small, verdict, ()),
        verify_report(units, Path("small.onnx"), verdict),
    ):
        assert msgspec.json.decode(msgspec.json.encode(report))


def test_a_verification_that_failed() -> None:
    units = find_units(MODELS["chain"]())
    failed = Verdict(False, ["it is wrong"], None, "", [])
    text = verify_text(verify_report(units, Path("small.onnx"), failed))
    assert "verified    NO\n            it is wrong\n" in text
    assert "removed     0 of 24 channels that may go" in text


def test_the_sides_of_a_large_unit_are_shortened() -> None:
    reports = unit_reports(units_of(MODELS["residual"]()))
    many = [msgspec.structs.replace(reports[0], output_related=list("abcdefg"))]
    assert "a, b, c, d and 3 more ->" in units_text(many)
    assert units_text([]) == ""


def test_inspecting_a_model_that_has_nothing() -> None:
    model = proto("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    text = inspect_text(inspect_report(find_units(model)))
    assert "opset       21, 1 node\n" in text
    assert "units       0 may lose channels; they reach 0.00% of the parameters" in text


@pytest.mark.parametrize("name", sorted(MODELS))
def test_everything_in_a_model_can_be_explained(name: str) -> None:
    units = units_of(MODELS[name]())
    names = {unit.name for unit in units} | set(units.graph.initializers)
    for named in names | {node.name or "" for node in units.graph.nodes}:
        lines = explain(units, named)
        assert lines
        assert all(lines)


def test_explaining_a_grouped_convolution() -> None:
    units = units_of(MODELS["grouped"]())
    lines = explain(units, "Conv_1")
    assert lines[0] == "Conv 'Conv_1'"
    assert "g = 4" in "\n".join(lines)


def test_explaining_what_there_is_not() -> None:
    units = units_of(MODELS["chain"]())
    with pytest.raises(ChoiceError, match=r"named 'net\.conv9\.weight'; near are: net\.conv"):
        explain(units, "net.conv9.weight")


def test_the_chain_of_operators_that_ties_a_unit() -> None:
    units = units_of(MODELS["residual"]())
    lines = explain(units, units.mutable[0].name)
    steps = [line.strip() for line in lines[lines.index("Its channels:") + 1 :]]
    assert steps == [
        "Conv 'Conv_0' gives them",
        "passed on by Relu 'Relu_1'",
        "Conv 'Conv_2' takes and gives them",
        "Add 'Add_3' joins 'a' and 'b'",
        "Conv 'Conv_4' takes them",
    ]


def test_a_frozen_axis_names_its_node_and_reason() -> None:
    units = units_of(MODELS["barred_operator"]())
    reason = "LRN 'LRN_2': every channel is divided by a sum over its neighbours"
    (line,) = (line for line in explain(units, "w1") if line.startswith("  axis 0"))
    assert line == f"  axis 0: Conv_1_(0, 6)_6; stays whole: {reason}"
    assert f"  o stays whole: {reason}" in explain(units, "Conv_1")
