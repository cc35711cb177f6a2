"""What guides a choice on the command line: several budgets, bounds, scopes, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import Refused, Run
from helpers import proto

import onnxprune as op
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


def _two_alike() -> onnx.ModelProto:
    """Two units alike, of one residual sum each; the weights of the first are larger."""
    random = np.random.default_rng(0)
    sizes = {"w0": (3, 8), "w1": (8, 8), "w2": (8, 8), "w3": (8, 8), "w4": (8, 2)}
    weights: dict[str, Any] = {
        name: (scale * random.standard_normal(size)).astype(np.float32)
        for (name, size), scale in zip(sizes.items(), (9, 9, 1, 1, 1), strict=True)
    }
    body = """(float[N,3] x) => (float[N,2] y) {
        a = MatMul(x, w0)
        b = MatMul(a, w1)
        c = Add(a, b)
        d = MatMul(c, w2)
        e = MatMul(d, w3)
        f = Add(d, e)
        y = MatMul(f, w4)
    }"""
    return proto(body, **weights)


@pytest.mark.parametrize(
    ("name", "usual", "other"),
    [
        ("members", "producers", "all"),
        ("reduction", "mean", "first"),
        ("normalisation", "mean", "none"),
    ],
)
def test_how_scores_become_one_and_comparable(run: Run, name: str, usual: str, other: str) -> None:
    """The names are those of `choose`, and do the same."""
    onnx.save(_two_alike(), "model.onnx")
    written = []
    for options in ([], [f"--{name}", usual], [f"--{name}", other]):
        run(
            *("prune", "model.onnx", "--ratio", "0.5", "--scope", "global", *options, *TO),
            *("--force", "--save-choices", "c.json", "--no-verify"),
        )
        written.append(Path("c.json").read_text(encoding="utf-8"))
    assert written[0] == written[1] != written[2]
    more: dict[str, Any] = {name: other}
    choices = op.choose("model.onnx", op.ratio(0.5), scope="global", **more)
    assert choices.to_json() == written[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give one or more of --ratio, --macs, --params, --bytes, --memory, or --choices"),
        (["--macs", "0.5", "--choices", "c.json"], "Give one or more of --ratio"),
        (["--choices", "c.json", "--scope", "global"], "--choices leaves none to make"),
        (["--choices", "c.json", "--members", "all"], "--members would guide a choice; --choices"),
        (
            ["--choices", "c.json", "--importance", "l1", "--round-to", "2"],
            "--importance, --round-to would guide a choice; --choices leaves none to make",
        ),
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
    said = refused(*half, "--members", "some")
    assert said == "There is no choice of members 'some'; there are: all, producers"
    said = refused(*half, "--reduction", "meen")
    assert said == "There is no reduction 'meen'; did you mean 'mean'?"
    said = refused(*half, "--normalisation", "by-hand")
    assert said.startswith("There is no normalisation 'by-hand'; there are: gaussian, lamp, max")
    said = refused(*half, "--importance", "taylor")
    assert said.startswith("The importance 'taylor' needs gradients; give calibration inputs")
    said = refused(*half, "--importance", "bn-scale")
    assert said.startswith("No BatchNormalization scales the unit 'net.conv0_(0, 8)_8'")


def test_a_budget_that_cannot_be_reached_says_why(refused: Refused) -> None:
    command = ("prune", "model.onnx", "--params", "0.9", "--memory", "0.01", *TO)
    said = refused(*command, code=1)
    assert said.startswith("model.onnx: 0.01 of the activation memory cannot be reached; the smal")
    assert "75% in 'x' (no unit reaches it), 25% in 'c0' ('net.conv0_(0, 8)_8' keeps the" in said
