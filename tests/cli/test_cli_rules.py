"""rules: the list, the check, the document."""

from __future__ import annotations

import pytest
from commands import Refused, Run

from onnxprune.cli import rules
from onnxprune.ops import FLOWS, RULES
from onnxprune.ops.limits import LIMITS
from onnxprune.oracle import Gap, Tally


def test_the_list(run: Run) -> None:
    lines = run("rules").out.splitlines()
    assert "matmul              Gemm, MatMul" in lines
    limit = next(limit for limit in LIMITS if limit.operators == ("Hardmax",))
    assert f"known limit         Hardmax, {limit}" in lines


def test_the_list_in_json(run: Run) -> None:
    rows = {row["operator"]: row for row in run("rules", "--format", "json").json}
    assert rows["Conv"] == {
        "operator": "Conv",
        "family": "convolution",
        "macs": True,
        "limits": [],
    }
    assert rows["Relu"]["macs"] is False
    assert rows["Hardmax"]["limits"]
    assert {name for name, row in rows.items() if row["family"]} == {*RULES, *FLOWS}


def test_operators_without_a_rule_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    items = {name: rule for name, rule in RULES._items.items() if name not in ("Relu", "Tanh")}
    monkeypatch.setattr(RULES, "_items", items)
    line = next(line for line in run("rules").out.splitlines() if line.startswith("no rule"))
    assert {"Relu", "Tanh"} <= set(line.removeprefix("no rule").replace(",", "").split())
    assert "Constant" not in line


def test_some_operators(run: Run) -> None:
    assert run("rules", "Relu", "Conv", "Relu").out == (
        "convolution         Conv\nelementwise         Relu\n"
    )


def test_a_check(run: Run) -> None:
    lines = run("rules", "--check", "Conv", "Hardmax").out.splitlines()
    assert lines[0].split() == ["operator", *rules.COLUMNS]
    conv = dict(zip(rules.COLUMNS, map(int, lines[1].split()[1:]), strict=True))
    assert conv["cases"] >= 14
    assert conv["permuted"] > conv["cases"] < conv["removed"]
    assert [conv[name] for name in ("wrong", "missing", "known", "barred")] == [0, 0, 0, 0]
    assert lines[2].startswith("Hardmax ")
    assert lines[3].startswith("2 rules on ")
    assert len(lines) == 4


def test_a_check_in_json(run: Run) -> None:
    tallies = run("rules", "Hardmax", "--check", "--format", "json").json
    assert [tally["operator"] for tally in tallies] == ["Hardmax"]
    assert tallies[0]["wrong"] == tallies[0]["unexplained"] == []
    assert {gap["operator"] for gap in tallies[0]["explained"]} == {"Hardmax"}


@pytest.mark.parametrize(
    ("tally", "line"),
    [
        (Tally("Op", 3, 4, 5, wrong=["permuting c changes"]), "wrong: Op: permuting c changes"),
        (
            Tally("Op", 3, 4, 5, unexplained=[Gap("Op", ((0, 1),), name, False) for name in "abc"]),
            "missing: Op: operand 0 axis 1 (a) and 2 more",
        ),
    ],
)
def test_a_rule_that_does_not_hold(
    run: Run, monkeypatch: pytest.MonkeyPatch, tally: Tally, line: str
) -> None:
    monkeypatch.setattr("onnxprune.oracle.check", lambda names: [tally])
    lines = rules._check_text([tally]).splitlines()
    assert line in lines
    assert run("rules", "--check", "Conv", code=1).out.splitlines() == lines


def test_the_document(run: Run) -> None:
    lines = run("rules", "--format", "markdown", "Conv", "Softmax", "Bernoulli").out.splitlines()
    sentence = "`n (g c) ..., (g o) c ..., (g o) -> n (g o) ...`"
    assert f"| Conv | {sentence} | n, g, o; c (summed) |  |" in lines
    assert any(line.startswith("| Softmax | ") and "(statistic)" in line for line in lines)
    assert any(line.startswith("- Bernoulli: it draws random numbers") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Cnov"], "There is no rule for an operator 'Cnov'; did you mean Conv?"),
        (["--check", "GlobalPool"], "did you mean Global"),
        (["zzz"], "There is no rule for an operator 'zzz'; 'onnxprune rules' lists all"),
        (["--check", "--format", "markdown"], "--check answers in text or JSON"),
        (["--format", "yaml"], "'yaml' is not one of 'text', 'json', 'markdown'"),
    ],
)
def test_what_cannot_be_answered(refused: Refused, arguments: list[str], says: str) -> None:
    assert says in refused("rules", *arguments)
