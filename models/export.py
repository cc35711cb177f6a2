"""One call for both of torch's ONNX exporters, which differ in most of their options."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.onnx import TrainingMode

Exporter = Literal["dynamo", "legacy"]

EXPORTERS: tuple[Exporter, ...] = ("dynamo", "legacy")
PROTOBUF_LIMIT = 2**31 - 2**20  # bytes in one file, with room for the graph itself


@torch.no_grad()
def export(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    path: Path | str,
    exporter: Exporter = "dynamo",
    dynamic: bool = False,
    optimize: bool | None = None,
    outputs: Sequence[str] | None = ("logits",),
    opset: int | None = None,
) -> Path:
    """Write a module as an ONNX file, in eval mode and without a word on the console.

    Inputs are named as `forward` names them.

    Args:
        module: What to export; it is left in eval mode.
        example: The inputs of `forward`. If dynamic, their batch must be at least 2: a batch of 1
            could be taken for a constant.
        path: The file to write. External data appear beside it only above 2 GB.
        exporter: "dynamo" (torch.export, the default of torch) or "legacy" (tracing).
        dynamic: Leave axis 0 of all inputs and outputs open, under the name "batch".
        optimize: Whether the exporter may fold constants and batch norms; None is its default.
        outputs: Names of the outputs; None leaves them to the exporter.
        opset: The ONNX opset; None leaves it to the exporter.

    Returns:
        The path.
    """
    path = Path(path)
    example = example if isinstance(example, tuple) else (example,)
    inputs = list(inspect.signature(module.forward).parameters)[: len(example)]
    if dynamic and any(tensor.shape[0] < 2 for tensor in example):
        raise ValueError("a dynamic export needs an example with a batch of at least 2")
    module.eval()
    common = {
        "input_names": inputs,
        "output_names": list(outputs) if outputs else None,
        "opset_version": opset,
        "verbose": False,
    }
    with quiet():
        if exporter == "dynamo":
            torch.onnx.export(
                module,
                example,
                path,
                dynamo=True,
                optimize=optimize is not False,
                dynamic_shapes=tuple({0: "batch"} for _ in example) if dynamic else None,
                external_data=size(module) > PROTOBUF_LIMIT,
                **common,
            )
        else:
            # Batch norms are folded whenever the mode is EVAL, whatever do_constant_folding says.
            mode = TrainingMode.PRESERVE if optimize is False else TrainingMode.EVAL
            names = [*inputs, *(outputs or ())]
            torch.onnx.export(
                module,
                example,
                path,
                dynamo=False,
                training=mode,
                do_constant_folding=optimize is not False,
                dynamic_axes={name: {0: "batch"} for name in names} if dynamic else None,
                **common,
            )
    return path


def size(module: nn.Module) -> int:
    """Bytes of the module's parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what the exporters print, warn and log below the level of an error."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
