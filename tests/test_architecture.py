"""The house rules that a reader relies on, held by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import onnxprune

PACKAGE = Path(onnxprune.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

LAYERS = [
    {"errors", "registry", "version"},
    {"graph"},
    {"runtime"},
    {"axes"},
    {"ops"},
    {"units"},
    {"calibration"},
    {"importance", "budget"},
    {"choice"},
    {"rewrite"},
    {"refit"},
    {"verification"},
    {"evaluation"},
    {"oracle"},
    {"report"},
    {"api"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TORCH_MAY_IMPORT = set().union(*LAYERS[: LAYERS.index({"verification"}) + 1])


def _layer(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, part of the package) of every import of the package itself, type checking too."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            modules = [str(node.module)]
            if node.module == "onnxprune":
                modules = [f"onnxprune.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            package, _, rest = module.partition(".")
            if package == "onnxprune" and rest:
                yield node.lineno, rest.partition(".")[0]


def _where(path: Path, line: int) -> str:
    return f"{path.relative_to(PACKAGE.parent)}:{line}"


def test_every_part_has_its_layer() -> None:
    parts = {_layer(path) for path in FILES} - {"__init__", "torch"}
    assert parts == LEVEL.keys()


def test_no_layer_imports_a_later_one() -> None:
    wrong = [
        f"{_where(path, line)} imports {name}"
        for path in FILES
        if (part := _layer(path)) in LEVEL
        for line, name in _imports(path)
        if name != part and LEVEL.get(name, len(LAYERS)) >= LEVEL[part]
        if not {name, part} <= LAYERS[0]
    ]
    assert wrong == []


def test_torch_is_a_wing() -> None:
    wrong = [
        f"{_where(path, line)} imports {name}"
        for path in FILES
        for line, name in _imports(path)
        if (
            name not in TORCH_MAY_IMPORT | {"torch"} if _layer(path) == "torch" else name == "torch"
        )
    ]
    assert wrong == []


RUNNERS = ("graph", "runtime", "verification", "oracle")


def test_only_the_wing_imports_torch_and_only_those_that_run_models_onnxruntime() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                root = name.partition(".")[0]
                assert root != "torch" or _layer(path) == "torch", _where(path, node.lineno)
                if root == "onnxruntime":
                    assert _layer(path) in RUNNERS, _where(path, node.lineno)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, _where(path, node.lineno)


def test_only_the_command_line_and_reports_print() -> None:
    wrong = [
        _where(path, node.lineno)
        for path, tree in TREES.items()
        if _layer(path) not in ("cli", "report")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert wrong == []


def test_nothing_depends_on_this_machine() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert str(PACKAGE.parent) not in text
        assert str(Path.home()) + "/" not in text
