"""Silence a parser that logs warnings about what is dealt with here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep onnx_ir from warning on stderr about models that are refused, or written in pieces."""
    chatty = logging.getLogger("onnx_ir.serde")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        yield
    finally:
        chatty.setLevel(level)
