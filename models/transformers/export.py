"""Write an architecture as an ONNX file, by either of torch's exporters."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from models.export import Exporter
from models.transformers.architecture import Architecture

__all__ = ["export"]

BATCH = "batch"


def export(
    architecture: Architecture,
    path: Path,
    exporter: Exporter = "dynamo",
    dynamic: bool = False,
    attention: str = "sdpa",
) -> Path:
    """Export an architecture as its users do.

    Args:
        architecture: Which.
        path: The file to write.
        exporter: "dynamo" (torch.export, the default of torch) or "legacy" (tracing).
        dynamic: Leave the batch open, and all other axes that the architecture takes at any size.
        attention: Which implementation of attention its modules use.

    Returns:
        The path.
    """
    module = architecture.randomised(attention)
    example = architecture.example(max(2, architecture.batch) if dynamic else architecture.batch)
    axes = [{0: BATCH, **given.open} for given in architecture.inputs.values()]
    if exporter == "dynamo":
        shapes = {"tensors": tuple(axes)} if dynamic else None
        options: dict[str, Any] = {"dynamic_shapes": shapes, "external_data": False}
    else:
        named = dict(zip(architecture.inputs, axes, strict=True))
        named |= {name: {0: BATCH} for name in architecture.outputs}
        options = {"dynamic_axes": named if dynamic else None}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            *(module, example, str(path)),
            dynamo=exporter == "dynamo",
            input_names=list(architecture.inputs),
            output_names=list(architecture.outputs),
            **options,
        )
    return path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the exporters and `transformers` print, warn and log."""
    level = logging.root.manager.disable
    native: Any = torch._C
    printing, said = native._jit_onnx_log, io.StringIO()
    try:
        logging.disable(logging.CRITICAL)
        native._jit_onnx_log = lambda *_: None
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        native._jit_onnx_log = printing
        logging.disable(level)
