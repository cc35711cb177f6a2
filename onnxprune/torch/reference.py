"""The masked twin as a reference for verification, found through the package's entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np
import onnx_ir as ir

from onnxprune.errors import VerificationFailed
from onnxprune.graph import Graph
from onnxprune.runtime.feeds import Feeds
from onnxprune.torch.double import in_double
from onnxprune.torch.errors import LeakError, UnsupportedOperator
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.twin import masked_twin
from onnxprune.verification.references import (
    ARBITERS,
    Answerer,
    CannotAnswer,
    Outputs,
    Removed,
    reference,
)

_NARROW = (np.float32, np.float16, ml_dtypes.bfloat16)


@reference("torch")
def torch_twin(graph: Graph) -> Answerer:
    """Missing values in the torch interpreter of the original graph; exact everywhere."""
    twin = _interpreter(graph.model)
    return lambda feeds, removed: _answer(twin, feeds, removed)


@ARBITERS.register("torch")
def in_float64(
    graph: Graph, removed: Removed, pruned: Graph
) -> Callable[[Feeds], tuple[Outputs, Outputs]]:
    """The pruned graph and the masked twin, both in the torch interpreter in float64."""
    small, twin = (_interpreter(in_double(g.model)) for g in (pruned, graph))

    def answer(feeds: Feeds) -> tuple[Outputs, Outputs]:
        wide = {k: v.astype(np.float64) if v.dtype in _NARROW else v for k, v in feeds.items()}
        left = {name: _left(feed, removed.get(name)) for name, feed in wide.items()}
        return _answer(small, left, {}), _answer(twin, wide, removed)

    return answer


def _left(feed: np.ndarray, gone: object) -> np.ndarray:
    """An input without the indices that it loses."""
    for axis, indices in gone.items() if isinstance(gone, Mapping) else ():
        feed = np.delete(feed, indices, axis)
    return feed


def _interpreter(model: ir.Model) -> Interpreter:
    try:
        return Interpreter(model)
    except UnsupportedOperator as error:  # a constant of a type that torch does not have
        raise CannotAnswer(str(error)) from None


def _answer(interpreter: Interpreter, feeds: Feeds, removed: Removed) -> Outputs:
    try:
        return masked_twin(interpreter, feeds, removed)
    except UnsupportedOperator as error:
        raise CannotAnswer(str(error)) from None
    except LeakError as error:
        raise VerificationFailed(f"the removed channels are inconsistent: {error}") from None
