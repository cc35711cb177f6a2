"""Which units may lose channels: those that can, are asked for and are not protected."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from onnxprune.axes.rule import ROLES
from onnxprune.errors import ChoiceError, NothingToPrune
from onnxprune.units import MutableChannelUnit, Units

__all__ = ["matching", "select"]


def select(
    units: Units,
    only: Sequence[str] = (),
    protect: Sequence[str] = (),
    roles: Collection[str] = (),
) -> list[MutableChannelUnit]:
    """The units that may lose channels.

    Args:
        units: All units of a model.
        only: Patterns (``*``, ``?``) of units, or of modules or nodes that produce them, to which
            pruning is limited; none if empty.
        protect: Patterns of those that stay whole.
        roles: What may go: ``channel``, ``head``, ...; everything if empty.

    Raises:
        NothingToPrune: If there are none.
        ChoiceError: If a pattern matches nothing, or there is no such role.
    """
    for role in roles:
        if role not in ROLES:
            raise ChoiceError(f"There are no units of kind '{role}'; there are {', '.join(ROLES)}.")
    free = _mutable(units)
    protected = {name for pattern in protect for name in matching(units, pattern, "protect")}
    free = [unit for unit in free if unit.name not in protected]
    if not free:
        raise NothingToPrune(
            f"{units.graph.source}: every unit that may lose channels is protected."
        )
    if only:
        wanted = {name for pattern in only for name in matching(units, pattern, "prune")}
        free = [unit for unit in free if unit.name in wanted]
        if not free:
            raise NothingToPrune(_held(units, wanted, protected))
    if roles:
        free = [unit for unit in free if unit.role in roles]
        if not free:
            raise NothingToPrune(_no_role(units, roles))
    return free


def matching(units: Units, pattern: str, to: str) -> set[str]:
    """The names of the units that a pattern matches, or whose producers it matches.

    Args:
        units: All units of a model.
        pattern: The pattern, ``*`` and ``?`` stand for anything.
        to: What they are wanted for, for the error.

    Raises:
        ChoiceError: If there are none.
    """
    found = {
        unit.name for unit in units if any(fnmatchcase(name, pattern) for name in _names(unit))
    }
    if not found:
        known = ", ".join(unit.name for unit in units.mutable[:3])
        raise ChoiceError(f"Nothing to {to} matches '{pattern}'; units are named as {known}.")
    return found


def _mutable(units: Units) -> list[MutableChannelUnit]:
    """All units that may lose channels, at least one."""
    if not units.graph.initializers:
        raise NothingToPrune(f"{units.graph.source}: it has no weights, so nothing can be pruned.")
    if not units.mutable:
        distinct: dict[tuple[str, str], str] = {}
        for barrier in sorted(units.barriers(), key=lambda barrier: not barrier.op):
            distinct.setdefault((barrier.op, barrier.reason), str(barrier).rstrip("."))
        reasons = "; ".join(list(distinct.values())[:3])
        raise NothingToPrune(
            f"{units.graph.source}: no unit may lose channels"
            + (f", since {reasons}." if reasons else ", since no two layers share channels.")
        )
    return units.mutable


def _held(units: Units, wanted: Collection[str], protected: Collection[str]) -> str:
    """Why none of the units that are asked for may lose channels, by the example of one."""
    unit = next(unit for unit in (*units.mutable, *units) if unit.name in wanted)
    why = "it is protected" if unit.name in protected else str(unit.why_not).rstrip(".")
    return (
        f"{units.graph.source}: none of the units that are asked for may lose channels; as for "
        f"'{unit.name}', {why}."
    )


def _no_role(units: Units, roles: Collection[str]) -> str:
    """What to tell who asks for units that there are not."""
    there = ", ".join(sorted({unit.role for unit in units.mutable}))
    return (
        f"{units.graph.source}: no unit of {' or '.join(sorted(roles))} may lose channels; those "
        f"that may are of {there}."
    )


def _names(unit: MutableChannelUnit) -> set[str]:
    """What a pattern may call a unit: itself, and the modules and nodes that produce it."""
    produced = unit.output_related
    return {unit.name, *(c.name for c in produced), *(c.node for c in produced)}
