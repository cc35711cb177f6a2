"""prune."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from commands import Refused, Run, contents
from helpers import ints, proto

import onnxprune.api
from onnxprune.choice import read_choices
from onnxprune.graph import Graph, load
from onnxprune.rewrite import prune
from onnxprune.units import Units, find_units

FIRST = "net.conv0_(0, 8)_8"
SECOND = "net.conv1_(0, 16)_16"


def _counts(file: str) -> list[int]:
    return [unit.num_channels for unit in find_units(load(file)).mutable]


def _tamper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pruning slice a weight wrongly."""

    def wrong(units: Units) -> Graph:
        graph = prune(units)
        value = graph.initializers["net.conv1.weight"]
        assert value.const_value is not None
        array = value.const_value.numpy()[::-1].copy()
        value.const_value = ir.tensor(array, name=value.name)
        return graph

    monkeypatch.setattr(onnxprune.api, "prune_", wrong)


@pytest.mark.parametrize(
    ("budget", "counts"),
    [
        (["--ratio", "0.5"], [4, 8]),
        (["--ratio", "1"], [8, 16]),
        (["--params", "0.5"], [5, 11]),
        (["--macs", "0.5"], [5, 11]),
        (["--ratio", "0.5", "--protect", "net.conv0"], [8, 8]),
        (["--ratio", "0.5", "--protect", "*conv1*", "--importance", "l2"], [4, 16]),
        (["--ratio", "0.7", "--round-to", "4"], [4, 12]),
    ],
)
def test_a_budget(run: Run, budget: list[str], counts: list[int]) -> None:
    out = run("prune", "model.onnx", *budget, "-o", "small.onnx").out
    assert _counts("small.onnx") == counts
    assert "verified    yes, against zero-masking, largest difference" in out
    assert out.endswith("written     small.onnx\n")
    onnx.checker.check_model("small.onnx", full_check=True)


def test_the_text_says_before_and_after(run: Run, folder: Path) -> None:
    out = run("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx").out
    sizes = [(folder / name).stat().st_size for name in ("model.onnx", "small.onnx")]
    words = [line.split() for line in out.splitlines()]
    assert words[0] == ["parameters", "1,460", "->", "444", "30.4%"]
    assert words[1][1:4:2] == [f"{size:,}" for size in sizes]
    assert words[2] == ["MACs", "87,616", "->", "25,376", "29.0%"]


def test_the_report_is_one_json_document(run: Run, folder: Path) -> None:
    report = run("prune", "model.onnx", "--ratio", "0.5", "-o", "s.onnx", "--format", "json").json
    assert report["schema"] == "onnxprune.prune/1"
    assert report["params"] == {"before": 1460, "after": 444}
    assert report["macs"] == {"before": 87616, "after": 25376}
    assert report["bytes"] == {
        "before": (folder / "model.onnx").stat().st_size,
        "after": (folder / "s.onnx").stat().st_size,
    }
    assert report["units"] == 2
    assert 0.99 < report["prunable_params"] < 1
    assert report["verified"] is True
    assert 0 <= report["max_error"] < 1e-3
    assert report["reference"] == "zero-masking"
    assert isinstance(report["barriers"], list)
    assert report["output"] == "s.onnx"


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (3, 3),
        (0.5, 4),
        ([True, False] * 4, 4),
        ([0, 2, 5], 3),
        ([5, 2, 0], 3),
    ],
)
def test_choices_of_every_form(run: Run, folder: Path, choice: object, kept: int) -> None:
    (folder / "choices.json").write_text(json.dumps({"units": {FIRST: choice}}))
    run("prune", "model.onnx", "--choices", "choices.json", "-o", "small.onnx")
    assert _counts("small.onnx") == [kept, 16]


def test_saved_choices_make_the_same_model_again(run: Run, folder: Path) -> None:
    prune_ = ("prune", "model.onnx")
    run(*prune_, "--macs", "0.6", "-o", "a.onnx", "--save-choices", "choices.json")
    run(*prune_, "--choices", "choices.json", "-o", "b.onnx", "--save-choices", "again.json")
    found = contents(folder)
    assert found["a.onnx"] == found["b.onnx"]
    assert found["choices.json"] == found["again.json"]
    assert set(read_choices("choices.json").units) == {FIRST, SECOND}


def test_pruning_is_deterministic(run: Run, folder: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        run("prune", "model.onnx", "--params", "0.3", "-o", name, "--no-verify")
    found = contents(folder)
    assert found["a.onnx"] == found["b.onnx"]


def test_no_verify(run: Run) -> None:
    command = ("prune", "model.onnx", "--ratio", "0.5", "--no-verify", "-o")
    assert "verified    no, as asked\n" in run(*command, "a.onnx").out
    report = run(*command, "b.onnx", "--format", "json").json
    assert (report["verified"], report["max_error"], report["reference"]) == (False, None, None)


def test_force_replaces_files(run: Run, folder: Path) -> None:
    (folder / "small.onnx").write_text("old")
    (folder / "c.json").write_text("old")
    files = ("-o", "small.onnx", "--save-choices", "c.json")
    run("prune", "model.onnx", "--ratio", "0.5", *files, "--force")
    assert _counts("small.onnx") == [4, 8]
    assert read_choices("c.json").units


def test_force_replaces_the_model_itself(run: Run) -> None:
    run("prune", "model.onnx", "--ratio", "0.5", "-o", "model.onnx", "--force")
    assert _counts("model.onnx") == [4, 8]


def test_feeds(run: Run) -> None:
    rng = np.random.default_rng(0)
    np.savez("feeds.npz", x=rng.random((2, 3, 8, 8), np.float32))
    np.savez_compressed("packed.npz", x=rng.random((2, 3, 8, 8), np.float32))
    for i, feeds in enumerate(("feeds.npz", "packed.npz")):
        out = run("prune", "model.onnx", "--ratio", "0.5", "-o", f"{i}.onnx", "--feeds", feeds).out
        assert "verified    yes" in out


@pytest.mark.torch
@pytest.mark.parametrize("reference", ["zero-masking", "torch"])
def test_reference(run: Run, reference: str) -> None:
    ask = ("--reference", reference)
    out = run("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx", *ask).out
    assert f"verified    yes, against {reference}, largest difference" in out


def test_a_pruned_model_is_pruned_again(run: Run) -> None:
    run("prune", "model.onnx", "--ratio", "0.5", "-o", "half.onnx")
    run("prune", "half.onnx", "--ratio", "0.5", "-o", "quarter.onnx")
    run("prune", "quarter.onnx", "--ratio", "0.5", "-o", "eighth.onnx")
    assert [_counts(f"{name}.onnx") for name in ("half", "quarter", "eighth")] == [
        [4, 8],
        [2, 4],
        [2],  # a unit of a single channel has nothing more to lose
    ]
    removed = [("half", 12), ("quarter", 18), ("eighth", 21)]
    for name, count in removed:
        report = run("verify", "model.onnx", f"{name}.onnx", "--format", "json").json
        assert (report["verified"], report["removed"], report["channels"]) == (True, count, 24)
    report = run("verify", "half.onnx", "eighth.onnx", "--format", "json").json
    assert (report["verified"], report["removed"], report["channels"]) == (True, 9, 12)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_not_proven_is_not_written(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    _tamper(monkeypatch)
    before = contents(folder)
    files = ("-o", "small.onnx", "--save-choices", "c.json")
    answer = run("prune", "model.onnx", "--ratio", "0.5", *files, "--format", form, code=1)
    assert contents(folder) == before
    assert answer.err.startswith("onnxprune: The pruned model is not proven: its answers differ")
    assert answer.err.count("\n") == 1
    if form == "text":
        assert "verified    NO, against " in answer.out
        assert answer.out.endswith("written     no\n")
    else:
        assert (answer.json["verified"], answer.json["output"]) == (False, None)
        assert "differ" in answer.json["notes"][0]


def test_a_failure_does_not_touch_what_was_there(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tamper(monkeypatch)
    (folder / "small.onnx").write_text("precious")
    run("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx", "--force", code=1)
    assert (folder / "small.onnx").read_text() == "precious"


def test_what_is_not_proven_is_written_when_that_is_asked(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tamper(monkeypatch)
    answer = run(
        *("prune", "model.onnx", "--ratio", "0.5", "-o", "small.onnx", "--keep-failed"), code=1
    )
    assert _counts("small.onnx") == [4, 8]
    assert answer.out.endswith("written     small.onnx\n")
    assert "not proven" in answer.err


def test_a_model_may_be_replaced_and_choices_may_not_replace_it(
    run: Run, refused: Refused, folder: Path
) -> None:
    said = refused(
        "prune",
        "model.onnx",
        "--ratio",
        "0.5",
        "-o",
        "small.onnx",
        "--force",
        "--save-choices",
        "model.onnx",
    )
    assert said == "model.onnx: the model is read from there; name another file"
    before = (folder / "model.onnx").stat().st_size
    out = run(
        "prune", "model.onnx", "--ratio", "0.5", "-o", "model.onnx", "--force", "--format", "json"
    ).json
    assert out["bytes"] == {"before": before, "after": (folder / "model.onnx").stat().st_size}
    assert out["bytes"]["after"] < before


def test_samples_serve_to_verify_where_random_inputs_do_not_run(
    run: Run, refused: Refused, folder: Path
) -> None:
    """Indices into rows that are computed, of which there are two."""
    model = proto(
        """(float[N,6] x, int64[N,2] i) => (float[N,2,5] y) {
            h = MatMul(x, w0)
            r = Relu(h)
            t = MatMul(r, w1)
            u = Reshape(t, shape)
            j = Unsqueeze(i, last)
            y = GatherND<batch_dims=1>(u, j)
        }""",
        "w0 6 8, w1 8 10",
        shape=ints(0, 2, 5),
        last=ints(2),
    )
    onnx.save(model, folder / "picks.onnx")
    random = np.random.default_rng(0)
    np.savez("d.npz", x=random.random((32, 6), np.float32), i=random.integers(0, 2, (32, 2)))
    half = ("prune", "picks.onnx", "--ratio", "0.5", "-o", "small.onnx")
    assert "accepts none of the random inputs that were tried" in refused(*half)
    assert "verified    yes" in run(*half, "--calibration", "d.npz").out
