"""The command line: one file per command, each a thin call of the public names.

Exit codes: 0 done, 1 the answer is no, 2 it could not be run, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
from typing import Any

import click

from onnxprune.errors import OnnxPruneError, RefusedError, plain
from onnxprune.version import __version__

__all__ = ["main"]

COMMANDS = {
    "inspect": "Show what a model is and how much of it can be pruned.",
    "units": "List the units: which channels depend on each other.",
    "explain": "Tell why a unit, a node or a weight is as it is.",
    "prune": "Write a smaller model, verified.",
    "verify": "Check a pruned model against its original.",
    "finetune": "Train a pruned model to answer as its original does.",
    "evaluate": "Measure accuracy on labelled data, and how near a model is to its original.",
    "parity": "Compare a torch module with its export, masked and pruned.",
    "rules": "List the operators that are understood.",
}


class _Lazy(click.Group):
    """Imports a command when it is called, so that --help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"onnxprune.cli.{name}")
        return module.command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class _OneLine(logging.Formatter):
    """A warning of a library as one line, whatever names are in it."""

    def format(self, record: logging.LogRecord) -> str:
        return f"onnxprune: {plain(record.getMessage())}"


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onnxprune")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def _group(debug: bool) -> None:
    """Structural channel pruning of ONNX models: find what depends on what, slice it, prove it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: What follows ``onnxprune``; the process's own arguments if None.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold what cannot be encoded
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(handlers=[handler])
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    """Run the command line; its exit code."""
    try:
        result: Any = _group.main(
            arguments or ["--help"], prog_name="onnxprune", standalone_mode=False
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "onnxprune"
        return _fail(f"{error.format_message().rstrip('.')} (see '{path} --help')")
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _fail(_told(error), 1 if isinstance(error, RefusedError) else 2)
    return result if isinstance(result, int) else 0


def _told(error: Exception) -> str:
    if isinstance(error, OnnxPruneError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this model"
    if isinstance(error, OSError):
        return f"the system refuses: {error}"
    return (
        f"this is an error of onnxprune itself, {type(error).__name__}: {error}; please report "
        f"it, with the output of the same command after 'onnxprune --debug'"
    )


def _fail(message: str, code: int = 2) -> int:
    """Say in one line what went wrong."""
    click.echo(f"onnxprune: {plain(message).rstrip('.')}", err=True)
    return code
