"""How much to keep at each step when pruning and training take turns.

Example::

    for step in range(1, 11):
        choices = op.choose(units, op.macs(cubic(step, 10, final=0.4)))
        ...  # prune and train

Fractions are of the original model: choose for the units of the original at every step, or divide
by what the step before has left.
"""

from __future__ import annotations

from onnxprune.errors import OnnxPruneError

__all__ = ["cubic", "linear"]


def linear(step: int, steps: int, final: float, start: float = 1.0) -> float:
    """The fraction to keep at a step: as much less each time.

    Args:
        step: The step, from 0 (nothing is done yet) to `steps` (all is).
        steps: How many steps there are, at least 1.
        final: The fraction to keep at the last step, above 0 and at most 1.
        start: The fraction to keep at step 0.

    Returns:
        The fraction, between `start` and `final`.

    Raises:
        OnnxPruneError: If an argument is out of range.
    """
    return _kept(step, steps, final, start, 1)


def cubic(step: int, steps: int, final: float, start: float = 1.0) -> float:
    """The fraction to keep at a step: much less at first, when much is redundant, then slower.

    What is still to be removed falls as (1 - step / steps) cubed (Zhu & Gupta, To Prune, or Not to
    Prune, 2017).

    Args:
        step: The step, from 0 (nothing is done yet) to `steps` (all is).
        steps: How many steps there are, at least 1.
        final: The fraction to keep at the last step, above 0 and at most 1.
        start: The fraction to keep at step 0.

    Returns:
        The fraction, between `start` and `final`.

    Raises:
        OnnxPruneError: If an argument is out of range.
    """
    return _kept(step, steps, final, start, 3)


def _kept(step: int, steps: int, final: float, start: float, power: int) -> float:
    if steps < 1 or not 0 <= step <= steps:
        raise OnnxPruneError(f"There is no step {step} of {steps}; give one from 0 to the last.")
    if not 0 < final <= start <= 1:
        raise OnnxPruneError(
            f"A schedule cannot go from {start:g} to {final:g}; give fractions to keep above 0 and "
            f"at most 1, the last one no larger than the first."
        )
    return final + (start - final) * (1 - step / steps) ** power
