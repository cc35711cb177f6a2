"""Bring a model into the one form that the rest of the program expects."""

from __future__ import annotations

from collections.abc import Set

import onnx_ir as ir

from onnxprune.graph import constants, names
from onnxprune.graph.fold import fold
from onnxprune.graph.inline import inline
from onnxprune.graph.loops import say_conditions
from onnxprune.graph.sequences import settle_splits
from onnxprune.graph.states import drop_zero_states
from onnxprune.graph.sweep import sweep

__all__ = ["normalise"]


def normalise(model: ir.Model, untouched: Set[str] = frozenset(), untie: bool = False) -> ir.Model:
    """Normalise a model: same inputs, same outputs, same answers.

    Afterwards every node has a unique name, and standard operators have the empty string for a
    domain; calls of the model's own functions are replaced by their bodies; every constant is an
    initializer of the main graph and no initializer is an input; what depends on constants only is
    computed; every Loop has a condition; no recurrent layer is given a state of zeros; nothing is
    there that no output needs; 1-D initializers of numbers have one use each.

    Args:
        model: A model whose nodes are in topological order; changed in place, so pass a clone of
            one that is still needed.
        untouched: Initializers that stay as they are.
        untie: Whether larger initializers have one use each as well.

    Returns:
        The normalised model, not necessarily the same object.

    Raises:
        LoadError: If calls of functions within functions multiply to an absurd number of nodes.
    """
    _use_short_domain(model)
    names.complete(model)
    model = inline(model)
    constants.lift(model)
    constants.drop_from_inputs(model)
    settle_splits(model)
    say_conditions(model)
    sweep(model)
    model = fold(model, untouched)
    constants.lift(model)
    if not untouched:  # the layers of a torch module have one hidden size, tied by their state
        drop_zero_states(model)
    sweep(model)
    names.complete(model)
    constants.hoist(model)
    constants.unshare_dequantised(model)
    constants.unshare(model, untie)
    return model


def _use_short_domain(model: ir.Model) -> None:
    """Say the empty string where ``ai.onnx`` means the same; nodes do so when they are parsed."""
    for imports in (model.opset_imports, *(f.opset_imports for f in model.functions.values())):
        if "ai.onnx" in imports:
            imports.setdefault("", imports.pop("ai.onnx"))
