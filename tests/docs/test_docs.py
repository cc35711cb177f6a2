"""The pages of the documentation: their blocks run, and print what they say."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("torch")

import torch

import models.fashion  # noqa: F401  # pages import it, whichever folder they run in
from onnxprune.cli import _run
from onnxprune.importance import IMPORTANCES
from onnxprune.units import UNIT_KINDS

pytestmark = pytest.mark.torch

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROUNDED = re.compile(r"\d\.\de[+-]\d\d")
"""Numbers that differ between machines."""


class Block(NamedTuple):
    """Code, and the output that directly follows it; None where none does."""

    line: int
    language: str
    code: str
    output: str | None


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, each with the output that follows it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$\n?", text, re.M | re.S))
    for this, following in zip(found, [*found[1:], None], strict=True):
        told = None
        if following is not None and following[1] == "text":
            between = text[this.end() : following.start()]
            told = following[2] if not between.strip() else None
        yield Block(text.count("\n", 0, this.start()) + 2, this[1], this[2], told)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own with the models; what the page registers and imports is forgotten."""
    monkeypatch.chdir(tmp_path)
    Path("models").symlink_to(DOCS.parent / "models")
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (UNIT_KINDS, IMPORTANCES):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    with torch.random.fork_rng():
        yield
    sys.modules.pop("nets", None)


def printed(block: Block, names: dict[str, object], page: str) -> str:
    """What a block prints, its lines counted as in the page."""
    if block.code.startswith("# nets.py\n"):
        Path("nets.py").write_text(block.code, encoding="utf-8")
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        if block.language == "console":
            command = block.code.removeprefix("$ onnxprune ").split()
            assert _run(command) == 0, block.code
        else:
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, page, "exec"), names)
    return written.getvalue()


@pytest.mark.parametrize("page", ["finetune.md", "refit.md", "tutorial.md", "units.md"])
@pytest.mark.usefixtures("reader")
def test_every_block_prints_what_the_page_says(page: str) -> None:
    names: dict[str, object] = {"__name__": page}
    all_blocks = list(blocks(page))
    told = [block.output for block in all_blocks if block.language in ("python", "console")]
    texts = sum(block.language == "text" for block in all_blocks)
    assert len(told) - told.count(None) == texts > 0, "a text that follows no code is not compared"
    for block in all_blocks:
        if block.language not in ("python", "console"):
            continue
        found, expected = printed(block, names, page), block.output or ""
        if block.language == "console":
            found, expected = (ROUNDED.sub("#", text) for text in (found, expected))
        assert found == expected, f"docs/{page}, line {block.line}"


def test_a_kind_of_unit_is_short() -> None:
    (kind,) = [block.code for block in blocks("tutorial.md") if "@unit_kind(" in block.code]
    assert len(kind.splitlines()) < 40


def test_a_training_loop_is_short() -> None:
    (loop,) = [block.code for block in blocks("finetune.md") if "with_weights(small" in block.code]
    assert "backward()" in loop
    assert len(loop.splitlines()) < 30
