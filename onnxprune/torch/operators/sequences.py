"""Sequences of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from onnxprune.torch.masked import Masked
from onnxprune.torch.operators.joining import concat, split, stack
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape


@dataclass(frozen=True, slots=True, eq=False)
class Parts(Masked):
    """A sequence of tensors, each of which misses what it likes; by itself it has no entries.

    Attributes:
        parts: The tensors.
    """

    parts: tuple[Masked, ...] = ()


def _sequence(*parts: Masked) -> Parts:
    return Parts(torch.empty(0), parts=parts)


def _parts(call: Call) -> list[Masked]:
    """The tensors of the first argument."""
    x = call[0]
    if not isinstance(x, Parts):
        raise call.refuse("a tensor in place of a sequence")
    return list(x.parts)


def _position(call: Call, position: int, default: int) -> int:
    given = call.optional_setting(position)
    return default if given is None else int(given)


@operator("SequenceEmpty", "SequenceConstruct")
def _construct(call: Call) -> Masked:
    return _sequence(*(x for x in call.inputs if x is not None))


@operator("SequenceLength")
def _length(call: Call) -> Masked:
    return Masked(torch.tensor(len(_parts(call))))


@operator("SequenceAt")
def _at(call: Call) -> Masked:
    return _parts(call)[int(call.setting(1))]


@operator("SequenceInsert")
def _insert(call: Call) -> Masked:
    parts = _parts(call)
    parts.insert(_position(call, 2, len(parts)), call[1])
    return _sequence(*parts)


@operator("SequenceErase")
def _erase(call: Call) -> Masked:
    parts = _parts(call)
    del parts[_position(call, 1, -1)]
    return _sequence(*parts)


@operator("SplitToSequence")
def _split_to_sequence(call: Call) -> Masked:
    x, given = call[0], call.optional_setting(1)
    axis = call.attribute("axis", 0) % x.value.ndim
    size = x.shape[axis]
    if given is not None and given.ndim:
        return _sequence(*split(x, axis, [int(n) for n in given]))
    step = 1 if given is None else int(given)
    parts = split(x, axis, [min(step, size - start) for start in range(0, size, step)])
    if given is None and not call.attribute("keepdims", 1):
        parts = [reshape(part, [*x.shape[:axis], *x.shape[axis + 1 :]]) for part in parts]
    return _sequence(*parts)


@operator("ConcatFromSequence")
def _concat_from_sequence(call: Call) -> Masked:
    parts, axis = _parts(call), call.attribute("axis")
    rank = parts[0].value.ndim
    if call.attribute("new_axis", 0):
        return stack(parts, axis % (rank + 1))
    return concat(parts, axis % rank)
