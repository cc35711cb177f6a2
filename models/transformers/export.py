"""Write an architecture as an ONNX file, by either of torch's exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.export import Exporter
from models.transformers.architecture import Architecture
from onnxprune.torch.silence import silent

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
    with silent(), torch.no_grad():
        torch.onnx.export(
            *(module, example, str(path)),
            dynamo=exporter == "dynamo",
            input_names=list(architecture.inputs),
            output_names=list(architecture.outputs),
            **options,
        )
    return path
