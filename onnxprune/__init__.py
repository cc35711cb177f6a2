"""Structural channel pruning of ONNX models: find what depends on what, slice it, prove it.

::

    import onnxprune as op

    model = op.load("resnet18.onnx")
    units = op.find_units(model)
    data = op.read_dataset("photos/", model)  # images without labels; none are needed
    choices = op.choose(units, op.macs(0.5), data=data)
    small = op.refit_weights(units, op.prune(units, choices), data).graph
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
    from onnxprune.api import (
        choose,
        find_units,
        measure_evidence,
        prune,
        refit_weights,
        verify,
    )
    from onnxprune.budget import Budget, Cost, cost, macs, memory, params, ratio, size
    from onnxprune.calibration import Calibration, Preprocess, read_dataset
    from onnxprune.choice import ChannelMutator, Choices, cubic, linear, read_choices, sample
    from onnxprune.errors import OnnxPruneError
    from onnxprune.evaluation import Evaluation, evaluate, read_labels
    from onnxprune.graph import Graph, load, save
    from onnxprune.importance import Evidence
    from onnxprune.ops import rule
    from onnxprune.refit import Refit
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
    "api": ("choose", "find_units", "measure_evidence", "prune", "refit_weights", "verify"),
    "budget": ("Budget", "Cost", "cost", "macs", "memory", "params", "ratio", "size"),
    "calibration": ("Calibration", "Preprocess", "read_dataset"),
    "choice": ("ChannelMutator", "Choices", "cubic", "linear", "read_choices", "sample"),
    "errors": ("OnnxPruneError",),
    "evaluation": ("Evaluation", "evaluate", "read_labels"),
    "graph": ("Graph", "load", "save"),
    "importance": ("Evidence",),
    "ops": ("rule",),
    "refit": ("Refit",),
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
    "Calibration",
    "Channel",
    "ChannelMutator",
    "Choices",
    "Cost",
    "DerivedMutableChannel",
    "Evaluation",
    "Evidence",
    "Graph",
    "L1MutableChannelUnit",
    "MutableChannelUnit",
    "OneShotMutableChannel",
    "OneShotMutableChannelUnit",
    "OnnxPruneError",
    "Preprocess",
    "Record",
    "Refit",
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
    "cubic",
    "evaluate",
    "find_units",
    "linear",
    "load",
    "macs",
    "measure_evidence",
    "memory",
    "params",
    "prune",
    "ratio",
    "read_choices",
    "read_dataset",
    "read_labels",
    "read_record",
    "refit_weights",
    "rule",
    "sample",
    "save",
    "size",
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
