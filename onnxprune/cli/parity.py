"""``onnxprune parity``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from onnxprune.cli.shared import emit, format_option, progress
from onnxprune.errors import MissingExtra, OnnxPruneError


@click.command("parity")
@click.argument("factory", metavar="MODULE:FACTORY")
@click.option(
    "--input",
    "sizes",
    default="1,3,224,224",
    show_default=True,
    help="The sizes of the input, if FACTORY does not give one.",
)
@click.option(
    "--exporter",
    type=click.Choice(["dynamo", "legacy", "both"]),
    default="both",
    show_default=True,
    help="Which of torch's exporters writes the graph.",
)
@click.option(
    "--choices",
    "count",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="At how many choices: all channels, one of a unit, halves, then random ones.",
)
@format_option
def command(factory: str, sizes: str, exporter: str, count: int, form: str) -> int:
    """Compare torch and onnxruntime, masked and pruned, for a torch module.

    FACTORY is a function (or class) in MODULE that takes nothing and returns the module, or the
    module and the inputs of its forward.
    """
    framework = _torch()
    module, example = _built(factory)
    inputs = _sizes(sizes) if example is None else example
    with progress(f"comparing {factory}"):
        reports = [
            framework.parity(module, inputs, count, name)
            for name in (("dynamo", "legacy") if exporter == "both" else (exporter,))
        ]
    emit(form, reports, lambda reports: "\n\n".join(map(str, reports)))
    return 0 if all(report.passed for report in reports) else 1


def _torch() -> Any:
    """The torch wing, found as everything that is registered."""
    from onnxprune.units.framework import FRAMEWORKS

    found = FRAMEWORKS.find("torch")
    if found is None:
        raise MissingExtra("Torch is not installed; add it: pip install 'onnxprune[torch]'.")
    return found()


def _built(factory: str) -> tuple[Any, Any]:
    """The module, and its example if there is one."""
    path, colon, name = factory.partition(":")
    if not (path and colon and name):
        raise click.UsageError(f"'{factory}' is not of the form MODULE:FACTORY.")
    sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(path), name)()
    except ImportError as error:
        raise OnnxPruneError(f"{factory}: the module cannot be imported ({error}).") from error
    except AttributeError as error:
        raise OnnxPruneError(f"{factory}: {error}.") from error
    except Exception as error:
        raise OnnxPruneError(
            f"{factory}: it cannot be built ({type(error).__name__}: {error})."
        ) from error
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not callable(getattr(module, "forward", None)):
        raise OnnxPruneError(f"{factory}: it gives a {type(module).__name__}, not a torch module.")
    return module, example


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise click.UsageError(f"--input: '{text}' are no sizes; write them as 1,3,224,224.")
    return sizes
