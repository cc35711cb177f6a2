"""Options that make no sense: one clear line each, and nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import Refused, Run
from helpers import ints, proto
from small import MODELS

HALF = ("prune", "model.onnx", "--ratio", "0.5")
TO = ("-o", "small.onnx")


@pytest.mark.parametrize("budget", ["ratio", "macs", "params"])
@pytest.mark.parametrize("fraction", ["0", "2", "nan", "-1", "inf", "1.0001"])
def test_a_budget_out_of_range(refused: Refused, budget: str, fraction: str) -> None:
    said = refused("prune", "model.onnx", f"--{budget}", fraction, *TO)
    assert said.startswith(f"{budget}: {fraction}")
    assert said.endswith(" is out of range; give the fraction to keep, above 0 and at most 1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ratio", "much", *TO], "Invalid value for '--ratio': 'much' is not a valid float"),
        (["--ratio", "0.5", "--round-to", "2.5", *TO], "'2.5' is not a valid integer"),
        (["--ratio", "0.5"], "Missing option '-o' / '--output'"),
        ([*TO], "Give one or more of --ratio, --macs, --params, --bytes, --memory, or --choices"),
        (["--ratio", "0.5", "--choices", "c.json", *TO], "or --choices, not both"),
        (["--choices", "c.json", "--protect", "x", *TO], "--choices leaves none to make"),
        (["--ratio", "0.5", "--format", "xml", *TO], "'xml' is not one of 'text', 'json'"),
        (["--ratoi", "0.5", *TO], "No such option '--ratoi'"),
        (["again.onnx", "--ratio", "0.5", *TO], "unexpected extra argument"),
    ],
)
def test_usage(refused: Refused, arguments: list[str], says: str) -> None:
    said = refused("prune", "model.onnx", *arguments)
    assert says in said
    assert said.endswith(" (see 'onnxprune prune --help')")


def test_an_unknown_command(refused: Refused) -> None:
    assert refused("purne") == "No such command 'purne' (see 'onnxprune --help')"
    assert refused("inspect") == "Missing argument 'MODEL' (see 'onnxprune inspect --help')"


@pytest.mark.parametrize("multiple", ["0", "-4"])
def test_multiples_of_nothing(refused: Refused, multiple: str) -> None:
    said = refused(*HALF, "--round-to", multiple, *TO)
    assert said == f"Kept counts cannot be multiples of {multiple}; give 1 or more"


def test_a_budget_that_cannot_be_reached(refused: Refused) -> None:
    said = refused("prune", "model.onnx", "--macs", "0.001", *TO, code=1)
    assert said.startswith("model.onnx: 0.001 of the MACs cannot be reached; the smallest choice")
    assert said.endswith("; ask for more, protect less or round to smaller multiples")


def test_protecting(refused: Refused) -> None:
    said = refused(*HALF, "--protect", "conv0", *TO)
    assert said.startswith("Nothing to protect matches 'conv0'; units are named as net.conv0_(0, 8")
    said = refused(*HALF, "--protect", "*", *TO, code=1)
    assert said == "model.onnx: every unit that may lose channels is protected"


def test_unknown_names(refused: Refused) -> None:
    said = refused(*HALF, *TO, "--importance", "tailor")
    assert said == "There is no importance 'tailor'; did you mean 'taylor'?"
    said = refused(*HALF, *TO, "--importance", "quality")
    assert said.startswith("There is no importance 'quality'; there are: apoz, bn-scale, energy, ")
    assert "no reference 'zero-mask'; did you mean" in refused(
        *HALF, *TO, "--reference", "zero-mask"
    )
    said = refused("explain", "model.onnx", "net.conv0")
    assert said.startswith("model.onnx: it has no unit, node or weight named 'net.conv0'; near are")


@pytest.mark.parametrize("option", ["-o", "--save-choices"])
@pytest.mark.parametrize(
    ("path", "says"),
    [
        (".", ".: this is a directory; give the path of a file in it"),
        ("model.onnx", "model.onnx: the file exists; choose another name, or force it (--force)"),
        ("nowhere/file", "nowhere/file: there is no folder nowhere; create it first"),
        ("model.onnx/file", "model.onnx/file: there is no folder model.onnx"),
        ("/proc/file", "/proc/file: cannot be written"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_where_nothing_can_be_written(
    refused: Refused, folder: Path, option: str, path: str, says: str
) -> None:
    other = "--save-choices" if option == "-o" else "-o"
    assert says in refused(*HALF, option, path, other, "other")
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]


def test_the_folder_is_full(
    refused: Refused, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxprune.graph.wire

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnxprune.graph.wire, "write_model", full)
    said = refused(*HALF, *TO, "--save-choices", "c.json", "--no-verify")
    assert said.startswith("small.onnx: cannot be written (No space left on device)")
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]


def test_the_model_and_its_choices_in_one_file(refused: Refused, folder: Path) -> None:
    said = refused(*HALF, *TO, "--save-choices", folder / "small.onnx")
    assert said == "small.onnx: the model and its choices cannot both be written there"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file does not hold choices"),
        ("keep half", "the file does not hold choices (JSON is malformed"),
        ('{"units": [1]}', "the file does not hold choices (Expected `object`"),
        ('{"units": {}, "schema": "onnxprune.choices/2"}', "its schema is 'onnxprune.choices/2'"),
        ('{"units": {"net.conv0_(0, 9)_9": 1}}', "near are: net.conv0_(0, 8)_8"),
        ('{"units": {"net.conv0_(0, 8)_8": 9}}', "a count of 9 channels is not within 1 to 8"),
        ('{"units": {"net.conv0_(0, 8)_8": 0.0}}', "a ratio of 0.0 is not above 0 and at most 1"),
        ('{"units": {"net.conv0_(0, 8)_8": []}}', "needs a list of indices, at least one"),
        ('{"units": {"net.conv0_(0, 8)_8": [8]}}', "has the channels 0 to 7; its choice names 8"),
        ('{"units": {"net.conv0_(0, 8)_8": [true]}}', "needs a mask of 8 booleans"),
        ('{"units": {"head_(0, 4)_4": 2}}', "must stay whole: 'y': a graph output keeps"),
        ('{"units": {}, "fingerprint": "00"}', "made for a model of another architecture (its"),
    ],
)
def test_choices(refused: Refused, folder: Path, text: str, says: str) -> None:
    (folder / "c.json").write_text(text)
    said = refused("prune", "model.onnx", "--choices", "c.json", *TO)
    assert said.startswith("c.json: ")
    assert says in said


def test_choices_that_are_not_there(refused: Refused) -> None:
    command = ("prune", "model.onnx", *TO, "--choices")
    assert refused(*command, "c.json").startswith("c.json: the choices cannot be read (No such")
    assert refused(*command, ".").startswith(".: the choices cannot be read (Is a directory")
    assert "does not hold choices" in refused(*command, "model.onnx")


def test_choices_for_another_model(run: Run, refused: Refused) -> None:
    onnx.save(MODELS["residual"](), "other.onnx")
    more = ("--no-verify", "--save-choices", "c.json")
    run("prune", "other.onnx", "--ratio", "0.5", "-o", "s.onnx", *more)
    said = refused("prune", "model.onnx", "--choices", "c.json", *TO)
    assert said.startswith("c.json: These choices were made for a model of")


def test_choices_that_would_leave_nothing_of_a_tensor(refused: Refused, folder: Path) -> None:
    """The sum over the first half of the channels needs one of them."""
    body = """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
        a = Conv(x, w0)
        p = Slice(a, start, end, axis)
        m = ReduceSum(p, axis)
        b = Mul(a, m)
        y = Conv(b, w1)
    }"""
    numbers = {"start": ints(0), "end": ints(4), "axis": ints(1)}
    onnx.save(proto(body, "w0 8 3 1 1, w1 2 8 1 1", **numbers), "half.onnx")
    (folder / "c.json").write_text('{"units": {"Conv_0_(0, 8)_8": [4, 5]}}')
    said = refused("prune", "half.onnx", "--choices", "c.json", *TO)
    assert said == "The choices would leave nothing of the tensor 'p'"


def test_feeds(refused: Refused, folder: Path) -> None:
    (folder / "text.npz").write_text("x = 1")
    (folder / "empty.npz").write_bytes(b"")
    np.savez("name.npz", z=np.zeros((1, 3, 8, 8), np.float32))
    np.savez("shape.npz", x=np.zeros((1, 4, 8, 8), np.float32))
    np.savez("type.npz", x=np.zeros((1, 3, 8, 8)))
    np.savez("objects.npz", x=np.array([{}], object))
    np.save("array.npy", np.zeros(3))
    np.savez("cut.npz", x=np.random.default_rng(0).random((1, 3, 8, 8), np.float32))
    cut = folder / "cut.npz"
    cut.write_bytes(cut.read_bytes()[:-300])
    needs = "it takes x: FLOAT[?,3,8,8]"
    for feeds, says in (
        ("none.npz", "none.npz: cannot be read (No such file or directory)"),
        (".", ".: cannot be read (Is a directory)"),
        (
            "text.npz",
            "text.npz: damaged, or no .npz file (File is not a zip file); write it with "
            "numpy.savez(path, name=array), one array for each input",
        ),
        ("empty.npz", "empty.npz: damaged, or no .npz file"),
        ("array.npy", "array.npy: damaged, or no .npz file"),
        ("cut.npz", "cut.npz: damaged, or no .npz file"),
        ("objects.npz", "objects.npz: damaged, or no plain arrays"),
        ("name.npz", needs),
        ("shape.npz", needs),
        ("type.npz", needs),
    ):
        said = refused(*HALF, *TO, "--feeds", feeds)
        assert says in said
        assert "ONNXRuntimeError" not in said
