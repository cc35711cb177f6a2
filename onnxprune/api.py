"""The steps of the pipeline with the inputs that a user has at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir

from onnxprune.budget import Budget
from onnxprune.calibration import Calibration, read_dataset
from onnxprune.calibration.statistics import measure
from onnxprune.choice import Choices, as_choices
from onnxprune.choice import choose as choose_
from onnxprune.choice.limits import Bound
from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.importance import Evidence, find_importance, measure_gradients
from onnxprune.refit import METHODS, Options, Refit, merge, sensitivity
from onnxprune.refit import refit as refit_
from onnxprune.rewrite import prune as prune_
from onnxprune.runtime.feeds import Feeds
from onnxprune.runtime.journal import Journal
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.units import find_units as find_units_
from onnxprune.units.framework import graph_of
from onnxprune.verification import Verdict
from onnxprune.verification import verify as verify_

__all__ = [
    "Defaults",
    "choose",
    "default_scope",
    "defaults",
    "find_units",
    "measure_evidence",
    "prune",
    "refit_weights",
    "verify",
]

Chosen: TypeAlias = Choices | Mapping[str, Any] | str | os.PathLike[str]
Pruned: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph
Model: TypeAlias = Pruned | Units
Track: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]
Work: TypeAlias = str | os.PathLike[str] | Journal | None

_FEW = 256
"""Samples that tell how much the answers depend on a unit."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What suits the data.

    Attributes:
        importance: The importance.
        scope: The scope, for budgets other than a ratio of every unit.
        refit: The method to refit with, ``none`` for no refit.
    """

    importance: str
    scope: str
    refit: str


def defaults(data: Calibration | None) -> Defaults:
    """What suits the data.

    Without data ``l1``, one ratio for all units, and nothing is refitted. With data whose values
    vary together as those of what the model was made for do ``obs``, its ``curves``, and
    ``sequential``, which all live on covariances. Those of independent noise tell too little:
    ``l1``, one ratio, and ``one-shot``.

    Args:
        data: The data, None without any.
    """
    if data is None:
        return Defaults("l1", "local", "none")
    if data.correlated:
        return Defaults("obs", "curves", "sequential")
    return Defaults("l1", "local", "one-shot")


def default_scope(
    data: Calibration | None, importance: str, budget: Budget | Sequence[Budget]
) -> str:
    """The scope that suits the data, where scores are error curves and a cost is to be met."""
    suited, budgets = defaults(data), [budget] if isinstance(budget, Budget) else budget
    costs = any(budget.of != "ratio" for budget in budgets)
    return suited.scope if costs and importance == suited.importance else "local"


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
    budget: Budget | Sequence[Budget],
    importance: str | None = None,
    protect: Sequence[str] = (),
    round_to: int = 1,
    roles: Collection[str] = (),
    *,
    data: Any = None,
    only: Sequence[str] = (),
    at_least: Bound = 1,
    at_most: Bound = 1.0,
    scope: str | None = None,
    members: str | None = None,
    reduction: str | None = None,
    normalisation: str = "mean",
    evidence: Evidence | None = None,
    seed: int = 0,
) -> Choices:
    """Choose what every unit keeps: the channels of the highest importance, within a budget.

    Args:
        model: A model in any form, or its units, whose current choices become these.
        budget: How much may stay: ``ratio(0.5)`` (of every unit), ``macs(0.5)``, ``params(0.5)``,
            ``size(0.5)`` (in bytes), ``memory(0.5)`` (of activations); of several all hold.
        importance: Its name, or a norm such as ``l0.5``; None takes what suits the data.
        protect: Patterns (``*``, ``?``) of units, or of modules or nodes whose outputs stay whole.
        round_to: Kept counts are multiples of this; units too small for that stay whole.
        roles: What may go: ``channel``, ``head``, ``head-size``, ``group``, ``hidden``, or all.
        data: Inputs to measure what the importance needs, as for `measure_evidence`.
        only: Patterns of what may go, as for `protect`; everything if empty.
        at_least: What a unit keeps at least: a count or a ratio (a float), for all or by pattern.
        at_most: What a unit keeps at most, alike.
        scope: ``local`` (one ratio), ``global`` (one threshold), ``curves``; None: what suits data.
        members: Which weights of a unit count: ``producers``, ``all``; None: as `evidence` says.
        reduction: How their scores become one: ``mean``, ``max``, ...; None: as `evidence` says.
        normalisation: How scores become comparable: ``mean``, ``max``, ``none``, ...
        evidence: What was measured of the model already; nothing of it is measured again.
        seed: Of noise, and of the rows that are measured.

    Returns:
        The choices.

    Raises:
        NothingToPrune: If no unit may lose channels, or none of those that are asked for.
        BudgetError: If even the smallest choice exceeds a budget; it says what holds the rest.
        ChoiceError: If a pattern matches nothing, or bounds contradict each other.
        OnnxPruneError: If there is nothing of such a name, or data are needed and do not serve.
    """
    units = find_units(model)
    samples = None if data is None else _calibration(data, units.graph, seed)
    importance = importance or defaults(samples).importance
    scope = scope or default_scope(samples, importance, budget)
    known = _weighed(evidence, members, reduction)
    asked = (units, budget, importance, protect, round_to, roles, only, at_least, at_most)
    if samples is None:
        return choose_(*asked, scope, normalisation, known)
    given = units, importance, samples, known, scope
    return choose_(*asked, scope, normalisation, partial(measure_evidence, *given, seed=seed))


def _weighed(evidence: Evidence | None, members: str | None, reduction: str | None) -> Evidence:
    """The evidence, by which members are weighed as is asked for."""
    evidence = evidence or Evidence()
    members, reduction = members or evidence.members, reduction or evidence.reduction
    return replace(evidence, members=members, reduction=reduction)


def measure_evidence(
    model: Model,
    importance: str,
    data: Any,
    evidence: Evidence | None = None,
    scope: str = "local",
    track: Track = lambda nodes: nodes,
    seed: int = 0,
    work: Work = None,
) -> Evidence:
    """Measure what a choice needs; nothing if that is the weights alone.

    For ``curves`` units are tried one by one, so their current choices are lost.

    Args:
        model: A model in any form, or its units.
        importance: The name of the importance.
        data: Inputs: a `Calibration`, or anything that `read_dataset` takes, such as a folder of
            images. Labels are not needed.
        evidence: What was measured already; it is kept.
        scope: The name of the scope; ``curves`` needs the sensitivity of every unit.
        track: Wraps the sequence of what is worked on, to show how far it is.
        seed: Of noise, and of the rows of activations that are looked at.
        work: A folder that keeps what is measured piece by piece, gradients aside. Work that was
            cut goes on from there, and what is there already is not measured again. It may be
            deleted at any time.

    Returns:
        The evidence, with activations or gradients where they are needed.

    Raises:
        OnnxPruneError: If there is no such importance, or the model does not run with the inputs.
        MissingExtra: If gradients are needed, and torch is not installed.
    """
    units, evidence = find_units(model), evidence or Evidence()
    samples, score = _calibration(data, units.graph, seed), find_importance(importance)
    journal = _journal(work)
    active = score.needs == "activations" or scope == "curves"
    if active and evidence.statistics is None:
        measured = measure(units.graph, samples, seed=seed, track=track, journal=journal)
        evidence = replace(evidence, statistics=measured)
    if score.needs == "gradients" and evidence.gradients is None:
        evidence = replace(evidence, gradients=measure_gradients(units, samples))
    if scope == "curves" and evidence.sensitivity is None:
        scores = {unit.name: score(unit, evidence) for unit in units.mutable}
        assert evidence.statistics is not None
        few = samples.first(_FEW)
        felt = sensitivity(units, scores, few, evidence.statistics, track, journal)
        evidence = replace(evidence, sensitivity=felt)
    return evidence


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


def refit_weights(
    model: Model,
    pruned: Pruned,
    data: Any,
    choices: Chosen | None = None,
    method: str | None = None,
    track: Track = lambda nodes: nodes,
    work: Work = None,
    **options: Any,
) -> Refit:
    """Fit the weights of a pruned model, so that it computes what the original does.

    Needs inputs, but no labels, and no training. ``merge`` looks at the weights alone: neither at
    the data nor at what is kept of the work. See docs/refit.md.

    Args:
        model: The original in any form, or its units.
        pruned: The pruned model; it is not changed.
        data: Inputs: a `Calibration`, or anything that `read_dataset` takes; None for none.
        choices: What was kept. None takes the units' current choices.
        method: ``sequential``, ``one-shot``, ``channel``, ``mean``, ``affine`` or ``merge``. None
            takes what suits the data: ``one-shot`` with independent noise, ``merge`` without any,
            else ``sequential``.
        track: Wraps the sequence of nodes, to show how far it is.
        work: A folder that keeps the solutions, node by node, as for `measure_evidence`.
        options: More of `onnxprune.refit.Options`, such as ``ridge=1e-2``.

    Returns:
        The model with its new weights (`Refit.graph`), and what was done.

    Raises:
        ChoiceError: If the choices do not fit the model.
        OnnxPruneError: If there is no such method, it needs inputs and there are none, or a model
            does not run with them.
        MissingExtra: If onnxruntime is not installed.
    """
    units = _chosen(model, choices)
    if method == "merge" or (method is None and data is None):
        return merge(units, load(pruned), Options(**{**options, "method": "merge"}), track)
    if data is None and METHODS.get(str(method)):
        raise OnnxPruneError(
            f"The refit '{method}' needs inputs to fit weights to; give data, which may be noise, "
            f"or take 'merge', which needs none."
        )
    samples = _calibration(data, units.graph, options.get("seed", 0))
    options["method"] = method or defaults(samples).refit
    return refit_(units, load(pruned), samples, Options(**options), track, _journal(work))


def verify(
    model: Model,
    pruned: Pruned,
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


def _journal(work: Work) -> Journal | None:
    return work if work is None or isinstance(work, Journal) else Journal(work)


def _calibration(data: Any, graph: Graph, seed: int = 0) -> Calibration:
    return data if isinstance(data, Calibration) else read_dataset(data, graph, seed=seed)


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
