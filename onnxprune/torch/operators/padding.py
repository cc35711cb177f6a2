"""Pad."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.errors import UnsupportedOperator
from onnxprune.torch.masked import COPIED, MISSING, Masked, fill, levels_of, tidy
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import whole


@operator("Pad")
def _pad(call: Call) -> Masked:
    x = call[0]
    rank = x.value.ndim
    pads = call.integers("pads", 1) or []
    axes = call.integers("axes", 3) if call.opset >= 18 else None
    axes = list(range(rank)) if axes is None else [a % rank for a in axes]
    around = {a: (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)}
    around = {a: p for a, p in around.items() if p != (0, 0)}
    mode = call.attribute("mode", "constant")
    if mode == "constant":
        return _constant(x, around, _number(call))
    x = whole(x, around, f"which {mode} padding reads by position")
    value = x.value
    for axis, (before, after) in around.items():
        index = _positions(value.shape[axis], before, after, mode)
        value = value.index_select(axis, index)
    return Masked(value, x.levels, x.born)


def _number(call: Call) -> float:
    given = call.optional_setting(2) if call.opset >= 11 else None
    if given is None or given.numel() == 0:
        return float(call.attribute("value", 0.0))
    return given.item()


def _positions(size: int, before: int, after: int, mode: str) -> Tensor:
    """Where each entry of the padded axis comes from."""
    index = torch.arange(-before, size + after)
    if mode == "edge":
        return index.clamp(0, size - 1)
    if mode == "wrap":
        return index % size
    if mode != "reflect":
        raise UnsupportedOperator(f"padding mode {mode!r}")
    period = max(2 * (size - 1), 1)
    index = index.abs() % period
    return torch.where(index >= size, period - index, index)


def _constant(x: Masked, around: dict[int, tuple[int, int]], number: float) -> Masked:
    """Padding is copies of one number, but missing where everything beside it is."""
    rank = x.value.ndim
    flat = [n for axis in range(rank)[::-1] for n in around.get(axis, (0, 0))]
    value = F.pad(x.value, flat, value=number)
    born = x.born - set(around)
    levels = levels_of(x if born == x.born else Masked(x.value, x.marks))
    for axis, (before, after) in around.items():
        if levels.shape[axis] == 1 and max(before, after) <= 0:
            continue
        size = x.shape[axis]
        start, end = max(-before, 0), size - max(-after, 0)
        inside = levels.expand(_resized(levels, axis, size)).narrow(axis, start, end - start)
        border = (levels.amax(axis, keepdim=True) != MISSING).to(torch.uint8) * COPIED
        sides = [border.expand(_resized(border, axis, max(n, 0))) for n in (before, after)]
        levels = torch.cat([sides[0], inside, sides[1]], axis)
    return Masked(fill(value, levels), tidy(levels), born)


def _resized(levels: Tensor, axis: int, size: int) -> list[int]:
    return [size if a == axis else n for a, n in enumerate(levels.shape)]
