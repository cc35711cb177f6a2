"""Silence around torch's exporters, which print, warn and log by many ways."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["silent"]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop all that the exporters print, warn and log."""
    level = logging.root.manager.disable
    # The legacy exporter has C++ print the whole graph when it fails.
    native: Any = torch._C
    printing = native._jit_onnx_log
    said = io.StringIO()
    try:
        logging.disable(logging.CRITICAL)
        native._jit_onnx_log = lambda *_: None
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        native._jit_onnx_log = printing
        logging.disable(level)
