"""Structural channel pruning of ONNX models: find what depends on what, slice it, prove it.

::

    import onnxprune as op

    model = op.load("resnet18.onnx")
    units = op.find_units(model)
    choices = op.choose(units, budget=op.macs(0.5), importance="l1")
    small = op.prune(units, choices)
    op.verify(units, small, choices).check()
    op.save(small, "resnet18-half.onnx")

Wherever a model is asked for, a path, an ``onnx.ModelProto``, an ``onnx_ir.Model`` or the result
of an earlier step will do. Names are imported when they are first used, so importing the package
is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from onnxprune.version import __version__

if TYPE_CHECKING:
    from onnxprune.api import choose, find_units, prune, verify
    from onnxprune.budget import Budget, Cost, cost, macs, params, ratio
    from onnxprune.choice import ChannelMutator, Choices, read_choices, sample
    from onnxprune.errors import OnnxPruneError
    from onnxprune.graph import Graph, load, save
    from onnxprune.ops import rule
    from onnxprune.rewrite import Record, read_record
    from onnxprune.units import (
        Channel,
        DerivedMutableChannel,
        L1MutableChannelUnit,
        MutableChannelUnit,
        OneShotMutableChannel,
        OneShotMutableChannelUnit,
        SequentialMutableChannel,
        SequentialMutableChannelUnit,
        SimpleMutableChannel,
        SlimmableChannelUnit,
        SquentialMutableChannel,
        Units,
        unit_kind,
        with_units,
    )
    from onnxprune.verification import Verdict, bench

_HOME = {
    "api": ("choose", "find_units", "prune", "verify"),
    "budget": ("Budget", "Cost", "cost", "macs", "params", "ratio"),
    "choice": ("ChannelMutator", "Choices", "read_choices", "sample"),
    "errors": ("OnnxPruneError",),
    "graph": ("Graph", "load", "save"),
    "ops": ("rule",),
    "rewrite": ("Record", "read_record"),
    "units": (
        "Channel",
        "DerivedMutableChannel",
        "L1MutableChannelUnit",
        "MutableChannelUnit",
        "OneShotMutableChannel",
        "OneShotMutableChannelUnit",
        "SequentialMutableChannel",
        "SequentialMutableChannelUnit",
        "SimpleMutableChannel",
        "SlimmableChannelUnit",
        "SquentialMutableChannel",
        "Units",
        "unit_kind",
        "with_units",
    ),
    "verification": ("Verdict", "bench"),
}

__all__ = [
    "Budget",
    "Channel",
    "ChannelMutator",
    "Choices",
    "Cost",
    "DerivedMutableChannel",
    "Graph",
    "L1MutableChannelUnit",
    "MutableChannelUnit",
    "OneShotMutableChannel",
    "OneShotMutableChannelUnit",
    "OnnxPruneError",
    "Record",
    "SequentialMutableChannel",
    "SequentialMutableChannelUnit",
    "SimpleMutableChannel",
    "SlimmableChannelUnit",
    "SquentialMutableChannel",
    "Units",
    "Verdict",
    "__version__",
    "bench",
    "choose",
    "cost",
    "find_units",
    "load",
    "macs",
    "params",
    "prune",
    "ratio",
    "read_choices",
    "read_record",
    "rule",
    "sample",
    "save",
    "unit_kind",
    "verify",
    "with_units",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"onnxprune.{home}"), name)
    raise AttributeError(f"module 'onnxprune' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
