"""The steps of the pipeline with the inputs that a user has at hand."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir

from onnxprune.budget import Budget
from onnxprune.choice import Choices, as_choices
from onnxprune.choice import choose as choose_
from onnxprune.errors import ChoiceError
from onnxprune.graph import Graph, load
from onnxprune.rewrite import prune as prune_
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.units import find_units as find_units_
from onnxprune.units.framework import graph_of
from onnxprune.verification import Verdict
from onnxprune.verification import verify as verify_
from onnxprune.verification.feeds import Feeds

__all__ = ["choose", "find_units", "prune", "verify"]

Chosen: TypeAlias = Choices | Mapping[str, Any] | str | os.PathLike[str]
Model: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph | Units


def find_units(
    model: Any,
    kind: str | type[MutableChannelUnit] = "l1",
    example: Any = None,
    untie: bool = False,
    allow_io: Sequence[str] = (),
    **init_args: Any,
) -> Units:
    """Find which channels of a model depend on each other.

    Args:
        model: A model in any form, a torch module too; units are returned as they are.
        kind: The kind of unit, by name or class: ``l1`` (a count keeps the channels of the largest
            weights), ``sequential`` (it keeps the first), ``oneshot`` and ``slimmable`` (one of a
            few counts), or one that is registered with `unit_kind`.
        example: The inputs that a torch module is traced with, or the sizes of one; None tries an
            image.
        untie: Give each use of a weight that serves several (an embedding that is the output
            projection as well) its own copy, so that they are pruned apart.
        allow_io: Names or patterns of inputs and outputs that may change their shape, such as the
            state of a recurrent layer; nothing that the model takes or gives does so otherwise.
        init_args: What every unit is made with, such as ``divisor=8``.

    Returns:
        All units in topological order of their first producer, those that must stay whole too.

    Raises:
        LoadError: If the model cannot be loaded.
        OnnxPruneError: If there is no such kind, it does not take the arguments, or the module
            cannot be traced.
        ChoiceError: If the model has no such input or output.
    """
    if isinstance(model, Units):
        return model
    return find_units_(graph_of(model, example, untie), kind, allow_io, **init_args)


def choose(
    model: Model,
    budget: Budget,
    importance: str = "l1",
    protect: Sequence[str] = (),
    round_to: int = 1,
    roles: Collection[str] = (),
) -> Choices:
    """Choose what every unit keeps: the channels of the highest importance, within a budget.

    Args:
        model: A model in any form, or its units, whose current choices become these.
        budget: How much may stay: ``ratio(0.5)`` (of every unit), ``macs(0.5)``, ``params(0.5)``.
        importance: The name of a registered importance: ``l1``, ``l2``, ``random``.
        protect: Patterns (``*``, ``?``) of units, or of modules or nodes whose outputs stay whole.
        round_to: Kept counts are multiples of this, at least one of them; units that are too
            small for that stay whole.
        roles: What may go: ``channel``, ``head``, ``head-size``, ``group``, ``hidden`` (the state
            of recurrent layers); everything if empty.

    Returns:
        The choices.

    Raises:
        NothingToPrune: If no unit may lose channels, or none of such a role.
        BudgetError: If even the smallest choice exceeds the budget.
        ChoiceError: If a pattern to protect matches nothing.
    """
    return choose_(find_units(model), budget, importance, protect, round_to, roles)


def prune(model: Model, choices: Chosen | None = None) -> Graph:
    """Remove the channels that are not kept, by slicing the model's weights.

    Args:
        model: A model in any form, or its units; it is not changed.
        choices: What to keep: `Choices`, a dict of what each unit keeps, or the file that says so.
            None takes the units' current choices.

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
    choices: Chosen | None = None,
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


def _chosen(model: Any, choices: Chosen | None) -> Units:
    units = find_units(model)
    if choices is None:
        return units
    try:
        as_choices(choices).apply(units)
    except ChoiceError as error:
        if isinstance(choices, str | os.PathLike) and not str(error).startswith(f"{choices}: "):
            raise ChoiceError(f"{choices}: {error}") from error
        raise
    return units
