"""What can go wrong when an ONNX graph is run in torch."""

from __future__ import annotations

from onnxprune.errors import OnnxPruneError

__all__ = ["BadFeeds", "BadRemoval", "Leak", "LeakError", "UnsupportedOperator"]


class Leak(Exception):
    """A present entry would be lost, or a missing one used; raised without knowing the node.

    Attributes:
        operand: Which operand objects, if it is one.
        detail: Which entry, and why.
    """

    def __init__(self, operand: int | None, detail: str) -> None:
        super().__init__(detail)
        self.operand = operand
        self.detail = detail


class LeakError(OnnxPruneError):
    """The removed slices are inconsistent: a present entry meets a missing one."""


class UnsupportedOperator(OnnxPruneError):
    """The interpreter does not know an operator, or a variant of it."""


class BadFeeds(OnnxPruneError):
    """The feeds do not match the graph's inputs."""


class BadRemoval(OnnxPruneError):
    """What is to be missing is not part of the model."""
