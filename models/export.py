"""One call for both of torch's ONNX exporters, as the zoo uses them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from onnxprune.torch.export import EXPORTERS, Exporter
from onnxprune.torch.export import export as exported

__all__ = ["EXPORTERS", "Exporter", "export"]


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
    tensors = example if isinstance(example, tuple) else (example,)
    if dynamic and any(tensor.shape[0] < 2 for tensor in tensors):
        raise ValueError("a dynamic export needs an example with a batch of at least 2")
    return exported(
        module.eval(),
        tensors,
        path,
        exporter=exporter,
        dynamic=dynamic,
        keep_names=optimize is False,
        opset=opset,
        outputs=outputs,
    )
