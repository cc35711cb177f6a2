"""onnxruntime: loading a graph and hearing what it has to say."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxprune.errors import MissingExtra
from onnxprune.graph import Graph, save

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["RuntimeRefusal", "first_line", "open_session"]

WARNING, FATAL = 2, 4
_PREAMBLE = (
    r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (Load model from .*? failed: ?)?(Fatal error: )?"
)


class RuntimeRefusal(Exception):
    """onnxruntime does not load or run a model; the text is its reason."""


def open_session(
    model: Graph | Path | onnx.ModelProto,
    threads: int = 0,
    warnings: list[str] | None = None,
    as_written: bool = False,
    spinning: bool = False,
) -> onnxruntime.InferenceSession:
    """Load a model in onnxruntime on the CPU.

    Args:
        model: A graph, the path of a model file, or what such a file holds.
        threads: Threads within an operator, 0 for the default.
        warnings: Receives a line for every warning that onnxruntime prints.
        as_written: Whether DequantizeLinear and QuantizeLinear are computed as they stand, not
            fused with what is between them into operators on integers, which round otherwise.
        spinning: Whether threads that wait keep their cores busy, as onnxruntime does by itself;
            it answers a little sooner, and whatever else runs has to wait.

    Raises:
        RuntimeRefusal: If onnxruntime does not load the model.
        MissingExtra: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra(
            "Models are run by onnxruntime, which is not installed; install it with pip install "
            "'onnxprune[cpu]', or do without what runs them: verification (--no-verify), "
            "calibration, evaluation."
        ) from None
    options: Any = onnxruntime.SessionOptions()
    # Errors are raised; onnxruntime would print them as well, when it runs the model.
    options.log_severity_level = WARNING if warnings is not None else FATAL
    options.intra_op_num_threads = threads
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if as_written:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    with _file(model) as path, _standard_error() as heard:
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RuntimeRefusal(first_line(error)) from None
    if warnings is not None:
        warnings += [line for line in heard if "[W:" in line]
    return session


def first_line(error: BaseException) -> str:
    """The first line of an error's text without codes and paths, short enough for a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(_PREAMBLE, "", line)[:300].rstrip(". ")


@contextlib.contextmanager
def _file(model: Graph | Path | onnx.ModelProto) -> Iterator[Path]:
    if isinstance(model, Path):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        path = Path(folder) / "model.onnx"
        if isinstance(model, Graph):
            save(model, path)
        else:
            path.write_bytes(model.SerializeToString())
        yield path


@contextlib.contextmanager
def _standard_error() -> Iterator[list[str]]:
    """Collect what a C library writes to the process's standard error."""
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
