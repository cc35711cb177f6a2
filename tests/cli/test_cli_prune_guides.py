"""What guides a choice on the command line: several budgets, bounds, scopes, names."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Refused, Run

from onnxprune.budget import cost
from onnxprune.graph import load

TO = ("-o", "small.onnx")


def _kept(run: Run, *options: object) -> list[int]:
    """How many channels the two units keep."""
    run("prune", "model.onnx", *options, *TO, "--force", "--save-choices", "c.json", "--no-verify")
    model = load(Path("small.onnx"))
    sizes = [model.shape(model.initializers[f"net.conv{i}.weight"]) for i in range(2)]
    return [shape[0].size for shape in sizes if shape is not None]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--ratio", "0.5"], [4, 8]),
        (["--ratio", "0.5", "--only", "net.conv0"], [4, 16]),
        (["--ratio", "0.5", "--only", "*", "--protect", "net.conv0"], [8, 8]),
        (["--ratio", "0.1", "--min-ratio", "0.75"], [6, 12]),
        (["--ratio", "1", "--max-ratio", "0.25"], [2, 4]),
        (["--ratio", "0.5", "--importance", "l0.5"], [4, 8]),
        (["--ratio", "0.5", "--importance", "fpgm", "--scope", "global"], [4, 8]),
    ],
)
def test_what_is_kept(run: Run, options: list[str], kept: list[int]) -> None:
    assert _kept(run, *options) == kept


@pytest.mark.parametrize("scope", ["local", "global"])
def test_several_budgets_hold_together(run: Run, scope: str) -> None:
    asked = {"macs": 0.5, "params": 0.6, "bytes": 0.55, "memory": 0.8, "ratio": 0.9}
    options = [word for name, share in asked.items() for word in (f"--{name}", share)]
    _kept(run, *options, "--scope", scope)
    small, whole = cost(load(Path("small.onnx"))), cost(load(Path("model.onnx")))
    for name in ("macs", "params", "bytes", "memory"):
        assert getattr(small, name) <= asked[name] * getattr(whole, name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give one or more of --ratio, --macs, --params, --bytes, --memory, or --choices"),
        (["--macs", "0.5", "--choices", "c.json"], "Give one or more of --ratio"),
        (["--choices", "c.json", "--scope", "global"], "--choices leaves none to make"),
        (["--choices", "c.json", "--importance", "l1"], "--choices leaves none to make"),
    ],
)
def test_usage(refused: Refused, arguments: list[str], says: str) -> None:
    said = refused("prune", "model.onnx", *arguments, *TO)
    assert says in said
    assert said.endswith(" (see 'onnxprune prune --help')")


def test_names_and_numbers_that_make_no_sense(refused: Refused) -> None:
    half = ("prune", "model.onnx", "--ratio", "0.5", *TO)
    said = refused(*half, "--only", "conv0")
    assert said.startswith(
        "Nothing to prune matches 'conv0'; units are named as net.conv0_(0, 8)_8"
    )
    assert refused(*half, "--scope", "globl") == "There is no scope 'globl'; did you mean 'global'?"
    assert refused(*half, "--min-ratio", "2").startswith("A unit cannot be bound to 2.0 of its")
    assert refused(*half, "--max-ratio", "0").startswith("A unit cannot be bound to 0.0 of its")
    said = refused(*half, "--min-ratio", "0.8", "--max-ratio", "0.5")
    assert said.startswith("The unit 'net.conv0_(0, 8)_8' of 8 channels cannot keep at least 7 and")
    said = refused(*half, "--importance", "taylor")
    assert said.startswith("The importance 'taylor' needs gradients; give calibration inputs")
    said = refused(*half, "--importance", "bn-scale")
    assert said.startswith("No BatchNormalization scales the unit 'net.conv0_(0, 8)_8'")


def test_a_budget_that_cannot_be_reached_says_why(refused: Refused) -> None:
    command = ("prune", "model.onnx", "--params", "0.9", "--memory", "0.01", *TO)
    said = refused(*command, code=1)
    assert said.startswith("model.onnx: 0.01 of the activation memory cannot be reached; the smal")
    assert "75% in 'x' (no unit reaches it), 25% in 'c0' ('net.conv0_(0, 8)_8' keeps the" in said
