"""The masked twin: what a pruned model must answer, from the original one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from onnxprune.torch.errors import Leak, LeakError
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import compress
from onnxprune.torch.tensors import to_numpy

__all__ = ["masked_twin"]


def masked_twin(
    model: ir.Model | Interpreter,
    feeds: Mapping[str, np.ndarray | Tensor],
    removed: Mapping[str, Mapping[int, np.ndarray] | np.ndarray],
) -> dict[str, np.ndarray]:
    """Evaluate the original, full-size model with slices of its tensors missing.

    Args:
        model: The original model; or its interpreter, for those who ask more than once.
        feeds: Its inputs, by name.
        removed: Initializer or input, axis, removed indices.

    Returns:
        The outputs, by name, without their missing entries.

    Raises:
        LeakError: The removed slices are inconsistent.
        UnsupportedOperator: The model has an operator that cannot be run here.
    """
    interpreter = model if isinstance(model, Interpreter) else Interpreter(model)
    with torch.no_grad():
        outputs = interpreter.run(feeds, removed)
    answer = {}
    for name, output in outputs.items():
        try:
            answer[name] = to_numpy(compress(output))
        except Leak as leak:
            raise LeakError(f"output {name!r}: {leak.detail}") from None
    return answer
