"""The steps of the pipeline with the inputs that a user has at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx_ir as ir

from onnxprune.budget import Budget
from onnxprune.choice import Choices, read_choices
from onnxprune.choice import choose as choose_
from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph, load
from onnxprune.rewrite import prune as prune_
from onnxprune.units import Units
from onnxprune.units import find_units as find_units_
from onnxprune.verification import Verdict
from onnxprune.verification import verify as verify_
from onnxprune.verification.feeds import Feeds

__all__ = ["choose", "find_units", "prune", "verify"]

Model: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph | Units


def find_units(model: Model, kind: str = "l1") -> Units:
    """Find which channels of a model depend on each other.

    Args:
        model: A model in any form; units are returned as they are.
        kind: The kind of unit: ``l1`` (a count keeps the channels of the largest weights) or
            ``sequential`` (it keeps the first).

    Returns:
        All units in topological order of their first producer, those that must stay whole too.

    Raises:
        LoadError: If the model cannot be loaded.
    """
    return model if isinstance(model, Units) else find_units_(load(model), kind)


def choose(
    model: Model,
    budget: Budget,
    importance: str = "l1",
    protect: Sequence[str] = (),
    round_to: int = 1,
) -> Choices:
    """Choose what every unit keeps: the channels of the highest importance, within a budget.

    Args:
        model: A model in any form, or its units, whose current choices become these.
        budget: How much may stay: ``ratio(0.5)`` (of every unit), ``macs(0.5)``, ``params(0.5)``.
        importance: The name of a registered importance: ``l1``, ``l2``, ``random``.
        protect: Patterns (``*``, ``?``) of units, or of modules or nodes whose outputs stay whole.
        round_to: Kept counts are multiples of this, at least one of them; units that are too
            small for that stay whole.

    Returns:
        The choices.

    Raises:
        NothingToPrune: If no unit may lose channels.
        BudgetError: If even the smallest choice exceeds the budget.
        ChoiceError: If a pattern to protect matches nothing.
    """
    return choose_(find_units(model), budget, importance, protect, round_to)


def prune(model: Model, choices: Choices | str | os.PathLike[str] | None = None) -> Graph:
    """Remove the channels that are not kept, by slicing the model's weights.

    Args:
        model: A model in any form, or its units; it is not changed.
        choices: What to keep, or the file that says so. None takes the units' current choices.

    Returns:
        The smaller model. Its weights are sliced when they are read, so the original's files must
        stay where they are until it is saved.

    Raises:
        ChoiceError: If the choices do not fit the model, or would leave nothing of some tensor.
    """
    return prune_(_chosen(model, choices))


def verify(
    model: Model,
    pruned: str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph,
    choices: Choices | str | os.PathLike[str] | None = None,
    feeds: Feeds | None = None,
    reference: str = "auto",
) -> Verdict:
    """Check that a pruned model answers as the original does without the removed channels.

    Args:
        model: The original in any form, or its units.
        pruned: The pruned model.
        choices: What was kept. None takes the units' current choices.
        feeds: Inputs by name; random ones of two seeds if None.
        reference: ``zero-masking`` (in onnxruntime), ``torch`` (the exact one, needs the torch
            extra), or ``auto``: zero-masking where it is exact, else torch.

    Returns:
        The verdict; `Verdict.check` raises if it is not passed.

    Raises:
        OnnxPruneError: If the original itself does not run.
        MissingExtra: If onnxruntime is not installed.
    """
    file = Path(pruned) if isinstance(pruned, str | os.PathLike) else None
    return verify_(_chosen(model, choices), load(pruned), feeds, reference, file)


def _chosen(model: Model, choices: Choices | str | os.PathLike[str] | None) -> Units:
    units = find_units(model)
    if isinstance(choices, Choices):
        choices.apply(units)
    elif choices is not None:
        read = read_choices(choices)
        try:
            read.apply(units)
        except ChoiceError as error:
            raise ChoiceError(f"{choices}: {error}") from error
    return units
