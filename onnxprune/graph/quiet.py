"""Silence libraries that log warnings about what is dealt with here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np

__all__ = ["quiet"]

_CHATTY = ("onnx_ir", "onnxscript", "onnx_shape_inference")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from warning on stderr about a model's oddities.

    Oddities that matter are refused with an error, or logged by the modules of this package.
    """
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [chatty.level for chatty in loggers]
    for chatty in loggers:
        chatty.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        for chatty, level in zip(loggers, levels, strict=True):
            chatty.setLevel(level)
