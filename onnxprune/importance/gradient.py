"""What the loss would lose with a channel, by the gradients of the weights that it owns.

The gradients come from whoever can differentiate the model and is registered in `GRADIENTS`: the
torch wing, found through its entry point, so that nothing here imports torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from onnxprune.calibration import Calibration
from onnxprune.errors import MissingExtra
from onnxprune.importance.evidence import Array, Coupled, Evidence, Gradients
from onnxprune.importance.reduce import MEMBERS, REDUCTIONS
from onnxprune.importance.registry import Scores, importance
from onnxprune.registry import Registry
from onnxprune.units import MutableChannelUnit, Units
from onnxprune.units.channel import Channel
from onnxprune.units.magnitude import scores_of_members

__all__ = ["GRADIENTS", "fisher", "fisher_diagonal", "group_fisher", "measure_gradients", "taylor"]

GRADIENTS: Registry[Callable[[Units, Calibration], Gradients]] = Registry("gradients")
"""Who can differentiate a model: from its units and inputs to gradients."""


def measure_gradients(units: Units, calibration: Calibration) -> Gradients:
    """Measure the gradients of a model's weights with the first that can do so.

    Args:
        units: All units of the model.
        calibration: The inputs.

    Raises:
        MissingExtra: If nobody can: torch is not installed, or this package was installed before
            it had an entry point for it.
        OnnxPruneError: If the model cannot be differentiated.
    """
    for name in GRADIENTS:
        return GRADIENTS.get(name)(units, calibration)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra('Gradients need torch; install it with: pip install "onnxprune[torch]"')
    raise MissingExtra(
        f"Gradients need torch, which is installed, but the installed onnxprune is of an older "
        f"version or damaged: its entry point 'onnxprune.{GRADIENTS.kind}' is missing or does not "
        f"load; install it again with: pip install --force-reinstall --no-deps onnxprune"
    )


@importance("taylor", needs="gradients")
def taylor(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """How much the loss changes to first order: |sum of gradient * weight| of a channel.

    Of each producer, then reduced (Molchanov et al., Importance Estimation for Neural Network
    Pruning, CVPR 2019); with the gradient of the mean loss.
    """
    gradients = _gradients(evidence).mean
    return _reduced(unit, evidence, gradients, lambda g, w: g * w, np.abs)


@importance("fisher-diagonal", needs="gradients")
def fisher_diagonal(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """The sum of squared gradient * squared weight of a channel, of each producer, then reduced.

    Optimal Brain Damage (LeCun et al., NeurIPS 1990) with the diagonal of the Fisher information
    as the Hessian: the weights of a channel count as if they were independent.
    """
    squared = _gradients(evidence).squared
    return _reduced(unit, evidence, squared, lambda g, w: g * np.square(w), np.asarray)


@importance("fisher", needs="gradients")
def fisher(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """The mean over samples of the squared effect of a channel on the loss, to first order.

    The effect through each consumer by itself, then reduced (Theis et al., Faster gaze prediction
    with dense networks and Fisher pruning, 2018).
    """
    return REDUCTIONS.get(evidence.reduction)(_coupled(unit, evidence).alone.astype(np.float64))


@importance("group-fisher", needs="gradients")
def group_fisher(unit: MutableChannelUnit, evidence: Evidence) -> Scores:
    """As ``fisher``, but the effects through all consumers are summed before they are squared.

    Source: Liu et al., Group Fisher Pruning for Practical Network Compression, ICML 2021.
    """
    return np.asarray(_coupled(unit, evidence).together, np.float64)


def _gradients(evidence: Evidence) -> Gradients:
    assert evidence.gradients is not None, "the importance checks what it needs"
    return evidence.gradients


def _reduced(
    unit: MutableChannelUnit,
    evidence: Evidence,
    gradients: Mapping[str, Array],
    product: Callable[[Array, Array], Array],
    score: Callable[[Scores], Scores],
) -> Scores:
    """A score of the sum of products of gradients and weights over what each channel owns."""

    def member(channel: Channel) -> Scores | None:
        gradient, weight = gradients.get(channel.tensor.name or ""), channel.tensor.const_value
        if gradient is None or weight is None:
            return None
        held = ir.Value(const_value=ir.tensor(product(gradient, weight.numpy())))
        return replace(channel, tensor=held).reduce(lambda owned: score(owned.sum(axis=1)))

    scores = scores_of_members(unit, member, MEMBERS.get(evidence.members)(unit))
    return REDUCTIONS.get(evidence.reduction)(scores)


def _coupled(unit: MutableChannelUnit, evidence: Evidence) -> Coupled:
    """What the unit's channels do together; nothing where no weight can be trained."""
    nothing = Coupled(np.zeros((1, unit.num_channels)), np.zeros(unit.num_channels))
    return _gradients(evidence).units.get(unit.name, nothing)
