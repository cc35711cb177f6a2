"""The masked twin as a reference for verification, found through the package's entry point."""

from __future__ import annotations

from collections.abc import Callable

from onnxprune.errors import VerificationFailed
from onnxprune.graph import Graph
from onnxprune.torch.errors import LeakError, UnsupportedOperator
from onnxprune.torch.twin import masked_twin
from onnxprune.verification.feeds import Feeds
from onnxprune.verification.references import CannotAnswer, Outputs, Removed, reference


@reference("torch")
def torch_twin(graph: Graph, removed: Removed) -> Callable[[Feeds], Outputs]:
    """Missing values in the torch interpreter of the original graph; exact everywhere."""

    def answer(feeds: Feeds) -> Outputs:
        try:
            return masked_twin(graph.model, feeds, removed)
        except UnsupportedOperator as error:
            raise CannotAnswer(str(error)) from None
        except LeakError as error:
            raise VerificationFailed(f"the removed channels are inconsistent: {error}") from None

    return answer
