"""The command line: one file per command, each a thin call of the public names.

Exit codes: 0 done, 1 the answer is no, 2 it could not be run, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from onnxprune.version import __version__

__all__ = ["main"]

COMMANDS = {
    "inspect": "Show what a model is and how much of it can be pruned.",
    "units": "List the units: which channels depend on each other.",
    "explain": "Tell why a unit, a node or a weight is as it is.",
    "prune": "Write a smaller model, verified.",
    "verify": "Check a pruned model against its original.",
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


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onnxprune")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def _group(debug: bool) -> None:
    """Structural channel pruning of ONNX models: find what depends on what, slice it, prove it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(given, "--debug" in given))


def _run(arguments: list[str], debug: bool) -> int:
    from onnxprune.errors import OnnxPruneError, RefusedError

    try:
        result: Any = _group.main(arguments, prog_name="onnxprune", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OnnxPruneError as error:
        if debug:
            raise
        print(f"onnxprune: {error}", file=sys.stderr)
        return 1 if isinstance(error, RefusedError) else 2
    except MemoryError:
        print("onnxprune: there is not enough memory for this model.", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            raise
        print(
            f"onnxprune: an error of onnxprune itself: {type(error).__name__}: {error}. "
            f"Please report it, with the output of the same command after 'onnxprune --debug'.",
            file=sys.stderr,
        )
        return 2
    return result if isinstance(result, int) else 0
