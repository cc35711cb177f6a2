"""The masked twin as a reference for verification, found through the package's entry point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onnxprune.errors import VerificationFailed
from onnxprune.graph import Graph
from onnxprune.torch.double import in_double
from onnxprune.torch.errors import LeakError, UnsupportedOperator
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.twin import masked_twin
from onnxprune.verification.feeds import Feeds
from onnxprune.verification.references import (
    ARBITERS,
    Answerer,
    CannotAnswer,
    Outputs,
    Removed,
    reference,
)


@reference("torch")
def torch_twin(graph: Graph) -> Answerer:
    """Missing values in the torch interpreter of the original graph; exact everywhere."""
    twin = Interpreter(graph.model)
    return lambda feeds, removed: _answer(twin, feeds, removed)


@ARBITERS.register("torch")
def in_float64(
    graph: Graph, removed: Removed, pruned: Graph
) -> Callable[[Feeds], tuple[Outputs, Outputs]]:
    """The pruned graph and the masked twin, both in the torch interpreter in float64."""
    small, twin = (Interpreter(in_double(g.model)) for g in (pruned, graph))

    def answer(feeds: Feeds) -> tuple[Outputs, Outputs]:
        wide = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}
        return _answer(small, wide, {}), _answer(twin, wide, removed)

    return answer


def _answer(interpreter: Interpreter, feeds: Feeds, removed: Removed) -> Outputs:
    try:
        return masked_twin(interpreter, feeds, removed)
    except UnsupportedOperator as error:
        raise CannotAnswer(str(error)) from None
    except LeakError as error:
        raise VerificationFailed(f"the removed channels are inconsistent: {error}") from None
