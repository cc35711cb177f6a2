"""The base class of models that were written for MMEngine."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["BaseModel"]


class BaseModel(nn.Module):
    """A torch module whose constructor takes what ``mmengine.model.BaseModel`` takes.

    Args:
        data_preprocessor: Taken, and without effect.
        init_cfg: Taken, and without effect.
    """

    def __init__(self, data_preprocessor: Any = None, init_cfg: Any = None) -> None:
        super().__init__()
