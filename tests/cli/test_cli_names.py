"""Names in a model are data: whatever they hold, a terminal sees printable lines."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import onnx
import pytest
from commands import Refused, Run
from helpers import proto

EVIL = "in\n\x1b[31mred\x1b[0m\r\x9b2J\x7f<b>&[bold]\u202egnp.exe\u2028"
SHOWN = "in\\n\\x1b[31mred\\x1b[0m\\r\\x9b2J\\x7f<b>&[bold]\\u202egnp.exe\\u2028"


BODY = """(float[N,3] x) => (float[N,2] y) {
    a = MatMul(x, w0)
    b = MatMul(a, w1)
    c = Relu(b)
    y = MatMul(c, w2)
}"""


def _evil(unknown: bool) -> onnx.ModelProto:
    """A model in which every name is evil, with an operator that is not known if that is asked."""
    model = proto(BODY, "w0 3 8, w1 8 6, w2 6 2")
    for node in model.graph.node:
        if node.op_type == "Relu" and unknown:
            node.op_type, node.domain = "Magic\x1b[2J", "evil\n"
        node.name = f"{EVIL}{node.op_type}{node.output[0]}"
        node.input[:] = [f"{EVIL}{name}" for name in node.input]
        node.output[:] = [f"{EVIL}{name}" for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = f"{EVIL}{value.name}"
    if unknown:
        model.opset_import.append(onnx.helper.make_opsetid("evil\n", 1))
    return model


@pytest.fixture(autouse=True)
def _save_evil(folder: Path) -> None:
    onnx.save(_evil(unknown=True), folder / "evil.onnx")


def _is_plain(text: str) -> bool:
    return text.endswith("\n") and all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "evil.onnx"],
        ["units", "evil.onnx", "--all"],
        ["explain", "evil.onnx", f"{EVIL}w0"],
        ["explain", "evil.onnx", f"{EVIL}MatMula"],
        ["prune", "evil.onnx", "--ratio", "0.5", "-o", "small.onnx", "--no-verify"],
    ],
)
def test_text_is_printable(run: Run, command: list[str]) -> None:
    text = run(*command).out
    assert _is_plain(text)
    assert SHOWN in text


@pytest.mark.parametrize("command", [["inspect"], ["units"], ["explain", f"{EVIL}w0"]])
def test_json_holds_the_very_names_and_no_control_characters(run: Run, command: list[str]) -> None:
    answer = run(command[0], "evil.onnx", *command[1:], "--format", "json")
    assert not [c for c in answer.out.replace("\n", "") if unicodedata.category(c) == "Cc"]
    assert EVIL in _strings(answer.json)


def _strings(value: object) -> str:
    """All keys and strings of a JSON document."""
    if isinstance(value, dict):
        return _strings([*value, *value.values()])
    return "".join(map(_strings, value)) if isinstance(value, list) else str(value)


def test_errors_are_printable(refused: Refused, run: Run) -> None:
    assert SHOWN in refused("explain", "evil.onnx", EVIL)
    assert SHOWN in refused("inspect", EVIL)
    assert "evil" in refused("prune", "evil.onnx", "--ratio", "0.5", "-o", "small.onnx")
    protect = ("--protect", "none")
    said = refused("prune", "evil.onnx", "--ratio", "0.5", "-o", "small.onnx", *protect)
    assert SHOWN in said
    assert refused(EVIL).startswith(f"No such command '{SHOWN}'")


def test_file_names_are_data_too(run: Run, folder: Path) -> None:
    name = "a\n\x1b[31m[b].onnx"
    (folder / "model.onnx").rename(folder / name)
    out = run("prune", name, "--ratio", "0.5", "-o", f"small {name}").out
    assert out.endswith("written     small a\\n\\x1b[31m[b].onnx\n")


def test_an_evil_model_is_pruned_and_verified(run: Run) -> None:
    onnx.save(_evil(unknown=False), "evil.onnx")
    out = run("prune", "evil.onnx", "--ratio", "0.5", "-o", "small.onnx").out
    assert "verified    yes" in out
    assert "verified    yes" in run("verify", "evil.onnx", "small.onnx").out
