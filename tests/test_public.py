"""The public names: they exist, they are documented, and they cost little to import."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import onnxprune

WING = "onnxprune.torch"
HEAVY = ("torch", "onnxruntime", "sympy")
ALLOWED_SECONDS = 1.0


def _modules() -> list[str]:
    found = pkgutil.walk_packages(onnxprune.__path__, "onnxprune.", onerror=lambda _: None)
    return ["onnxprune", *(module.name for module in found)]


def _import(name: str) -> ModuleType:
    if name.startswith(WING):
        pytest.importorskip("torch")
    return importlib.import_module(name)


MODULES = [
    pytest.param(name, marks=[pytest.mark.torch] if name.startswith(WING) else [])
    for name in _modules()
]


def _functions(module: ModuleType) -> list[tuple[str, object]]:
    """The public functions and methods of a module, by name."""
    found: list[tuple[str, object]] = []
    for name in getattr(module, "__all__", ()):
        item = getattr(module, name)
        if inspect.isfunction(item):
            found.append((name, item))
        elif inspect.isclass(item) and _is_ours(item):
            found += [
                (f"{name}.{method}", function)
                for method, function in vars(item).items()
                if inspect.isfunction(function) and not method.startswith("_")
            ]
    return found


def _is_ours(item: object) -> bool:
    return str(getattr(item, "__module__", "")).startswith("onnxprune")


def _parameters(function: object) -> list[str]:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    return [name for name in signature.parameters if name not in ("self", "cls")]


def _documented(text: str) -> list[str]:
    """The names in the Args section of a docstring."""
    match = re.search(r"^Args:\n((?:[ ]+.*\n|\n)*)", inspect.cleandoc(text) + "\n", re.M)
    return re.findall(r"^    \*{0,2}(\w+):", match[1], re.M) if match else []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_public_name_is_documented(name: str) -> None:
    module = _import(name)
    assert module.__doc__, "what is it?"
    for public in getattr(module, "__all__", ()):
        item = getattr(module, public)
        if (inspect.isclass(item) or inspect.isfunction(item)) and _is_ours(item):
            own = vars(item).get("__doc__") if inspect.isclass(item) else item.__doc__
            assert own, f"{name}.{public}"
            assert not own.startswith(f"{public}("), f"{name}.{public} has no words of its own"
    assert list(getattr(module, "__all__", ())) == sorted(
        getattr(module, "__all__", ()), key=_as_ruff_sorts
    )


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", MODULES)
def test_what_is_said_of_parameters_is_true(name: str) -> None:
    """A docstring that has Args names every parameter, and none that there is not."""
    for public, function in _functions(_import(name)):
        documented = _documented(function.__doc__ or "")
        if documented:
            assert documented == _parameters(function), f"{name}.{public}"


@pytest.mark.parametrize("public", onnxprune.__all__)
def test_the_names_of_the_front_door(public: str) -> None:
    item = getattr(onnxprune, public)
    assert public in dir(onnxprune)
    if inspect.isfunction(item):
        text = inspect.cleandoc(item.__doc__ or "")
        returns = inspect.signature(item).return_annotation
        if len(_parameters(item)) > 1:  # one sentence tells of a single one
            assert _documented(text) == _parameters(item)
            assert ("\nReturns:\n" in text) == (returns != "None")


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'onnxprune' has no attribute 'prnue'"):
        onnxprune.prnue  # noqa: B018
    assert not hasattr(onnxprune, "torch_")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(_import(name)).failed == 0


def _cpu_seconds(code: str) -> tuple[float, str]:
    """What a fresh interpreter spends on some code, beyond what it spends on nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, err) == (0, "")
    return usage.ru_utime + usage.ru_stime, out


LOADED = f"print([name for name in {HEAVY} if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import onnxprune",
        "import onnxprune.cli; onnxprune.cli._run(['--help'])",
        "import onnxprune.cli; onnxprune.cli._run(['prune', '--help'])",
    ],
    ids=["import", "help", "help of a command"],
)
def test_the_front_door_is_quick(code: str) -> None:
    seconds, out = _cpu_seconds(f"import sys; {code}; {LOADED}")
    assert out.splitlines()[-1] == "[]"
    assert seconds < ALLOWED_SECONDS


def test_every_public_name_is_there_without_the_extras() -> None:
    _, out = _cpu_seconds(
        f"import sys, onnxprune; [getattr(onnxprune, n) for n in onnxprune.__all__]; {LOADED}"
    )
    assert out.strip() in ("[]", "['sympy']")
