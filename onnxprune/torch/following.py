"""Preparing a whole module, and finding out how each unit is followed: sliced or masked.

Most modules run with any number of channels. Some compute with fixed sizes, such as
``x.view(n, 4, 16)`` or ``x.split(32)``; what is removed from these must stay in place as zeros.
Which is which cannot be read from a module, so it is tried: the module's answers are compared with
those of its graph without the removed channels.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from onnxprune.choice import Choices, as_choices, sample
from onnxprune.errors import ChoiceError, VerificationFailed
from onnxprune.torch.dynamic import register, to_static
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.running import answer, feeds_of
from onnxprune.torch.trace import example_of, is_parameter, trace
from onnxprune.torch.twin import masked_twin
from onnxprune.units import MutableChannelUnit, Units, find_units
from onnxprune.verification.compare import ROUNDING, compare
from onnxprune.verification.references import removed_slices

__all__ = ["apply_choices", "follow", "prepare", "prepare_for_pruning", "settle"]

logger = logging.getLogger(__name__)


def prepare_for_pruning(
    module: nn.Module,
    example: Any = None,
    units: Units | None = None,
    kind: str | type[MutableChannelUnit] = "l1",
) -> Units:
    """Let a module follow all its units: layers become dynamic operators with the same weights.

    Args:
        module: The module, changed in place.
        example: The inputs of ``forward``, or the sizes of one; None tries an image.
        units: The module's units, if they have been found already.
        kind: The kind of unit to find.

    Returns:
        The units; the module follows their choices from now on.

    Raises:
        OnnxPruneError: If the module cannot be traced with this example.
        VerificationFailed: If the module cannot follow its units, sliced or masked.
    """
    inputs = example_of(example)
    found = find_units(trace(module, inputs), kind) if units is None else units
    follow(found, module, inputs)
    return found


def apply_choices(
    module: nn.Module,
    choices: Choices | Mapping[str, Any] | str | os.PathLike[str],
    example: Any = None,
) -> nn.Module:
    """A smaller copy of a module: plain layers, with the kept slices of its weights.

    It can be trained, and exported again.

    Args:
        module: The module; it is not changed.
        choices: What to keep: `Choices`, a dict of what each unit keeps, or the file that says so.
        example: The inputs of ``forward``, or the sizes of one; None tries an image.

    Returns:
        The smaller module, in the mode of the given one.

    Raises:
        ChoiceError: If the choices do not fit the module.
        RefusedError: If the module computes with fixed sizes of what the choices remove.
        OnnxPruneError: If the module cannot be traced with this example.
    """
    prepared = copy.deepcopy(module)
    as_choices(choices).apply(prepare_for_pruning(prepared, example))
    return to_static(prepared)


def prepare(unit: MutableChannelUnit, module: nn.Module) -> None:
    """Let a module follow one unit: register it wherever the unit's channels stand.

    Raises:
        ChoiceError: If the unit was not found in a torch module, or the module lacks a parameter.
    """
    places = [place for place in unit.places() if is_parameter(place.tensor)]
    if not places:
        raise ChoiceError(
            f"The unit '{unit.name}' was not found in a torch module; find the module's own "
            f"units: {type(unit).__name__}.init_from_graph(module)."
        )
    for place in places:
        name, grouped = str(place.tensor.name), place.blocks is not None
        register(module, name, place.axis, unit.mutable_channel, place.positions, grouped)


def follow(units: Units, module: nn.Module, example: Sequence[Any]) -> None:
    """Let a module follow all its units, sliced where it can, else masked; see `settle`."""
    for unit in units.mutable:
        prepare(unit, module)
    settle(units, module, example)


def settle(units: Units, module: nn.Module, example: Sequence[Any]) -> None:
    """Mask those units that a prepared module cannot follow by slicing; choices stay as they are.

    Args:
        units: All units of the module.
        module: The module, prepared for them.
        example: The inputs of ``forward``.

    Raises:
        VerificationFailed: If the module cannot follow its units, sliced or masked.
    """
    trial = _Trial(units, module, example)
    before = [unit.mask for unit in units]
    try:
        free = units.mutable
        if trial.agrees(free):
            return
        stiff = [unit for unit in free if not trial.agrees([unit])]
        _mask(stiff)
        if stiff and trial.agrees(free):
            return
        _mask(free)
        if not trial.agrees(free):
            raise VerificationFailed(
                f"The module cannot follow its units: {trial.reason}. Its forward may read the "
                f"weights of layers itself, or compute over removed channels with fixed sizes."
            )
    finally:
        for unit, mask in zip(units, before, strict=True):
            if unit.is_mutable:
                unit.set_mask(mask)


def _mask(units: Sequence[MutableChannelUnit]) -> None:
    for unit in units:
        logger.debug("the module computes with fixed sizes of %s", unit.name)
        unit.mutable_channel.masked = True


RATIOS = ((0.3, 1.0), (0.5, 0.5), (0.0, 1.0))
"""Ranges of what units keep: different parts, the same part, nearly nothing beside everything."""


class _Trial:
    """Compares a module with its graph where some units lose channels."""

    def __init__(self, units: Units, module: nn.Module, example: Sequence[Any]) -> None:
        self.units = units
        self.module = module
        self.example = example
        self.feeds = feeds_of(example, units.graph)
        self.twin = Interpreter(units.graph.model)
        self.reason = ""

    def agrees(self, chosen: Sequence[MutableChannelUnit]) -> bool:
        """Whether the module answers as the graph does, at random choices of these units.

        What only just fits when all lose something may not when a few lose nearly everything.
        """
        if not all(self._agrees(chosen, seed, ratio) for seed, ratio in enumerate(RATIOS)):
            return False
        parts = [chosen[i::4] for i in range(min(4, len(chosen)))]
        return all(self._agrees(part, 0, (0.0, 0.0)) for part in parts)

    def _agrees(
        self, chosen: Sequence[MutableChannelUnit], seed: int, ratio: tuple[float, float]
    ) -> bool:
        sample(self.units, seed, ratio, chosen)
        expected = masked_twin(self.twin, self.feeds, removed_slices(self.units))
        try:
            found = answer(self.module, self.example, self.units.graph)
        except Exception as error:  # whatever a forward raises that meets sizes it does not expect
            self.reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return False
        difference = compare(found, expected)
        self.reason = f"its answers differ by {difference.error:.3g}"
        return difference.excess <= ROUNDING
