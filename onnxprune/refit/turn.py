"""Queries and keys of fewer channels: mixtures of all that there were, not some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.axes.atoms import Ids
from onnxprune.axes.cut import Cut, Mask
from onnxprune.axes.factors import size_of
from onnxprune.calibration.query_key import QueryKey
from onnxprune.graph import Graph
from onnxprune.ops import Linear, linear_of
from onnxprune.ops.bias import bias_place
from onnxprune.units import Units

__all__ = ["Turn", "find_turns"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What of its result a projection gives anew: in each head, the kept from all channels.

    Attributes:
        columns: (heads, size) the channels of each head.
        kept: (heads, count) those that stay.
        mixtures: (heads, size, count) what the kept are mixed of.
        bias: (results,) the bias of the smaller projection; (1,) a zero if it has none.
    """

    columns: Ids
    kept: Ids
    mixtures: Array
    bias: Array

    def __call__(self, array: Array, axis: int = -1) -> Array:
        """An array with an axis of channels, of which those that stay are mixtures of all."""
        whole = np.moveaxis(array, axis, -1)
        mixed = np.einsum("...hs,hsc->...hc", whole[..., self.columns], self.mixtures)
        turned = whole.copy()
        turned[..., self.kept] = mixed
        return np.moveaxis(turned, -1, axis)


def find_turns(units: Units, pairs: Sequence[QueryKey]) -> dict[str, Turn]:
    """How the queries and keys turn that lose channels of their heads; by node.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        pairs: Queries and keys.
    """
    nodes, cut = {str(node.name): node for node in units.graph.model.graph}, units.cut()
    parts: dict[str, list[tuple[Ids, Ids, Array]]] = {}
    known, counts = {}, {}
    for pair in pairs:
        ends = [nodes[name] for name in (pair.query, pair.key)]
        known[pair] = masks = [_mask(cut, node) for node in ends]
        count = _count(masks[0][pair.queries], masks[1][pair.keys])
        if count not in (None, pair.queries.shape[1]) and all(_is_plain(n, cut) for n in ends):
            counts[pair] = count
    for pair, count in counts.items():
        names = {pair.query, pair.key}
        if any(other != count for p, other in counts.items() if names & {p.query, p.key}):
            continue  # parts of one projection keep different numbers
        ends, masks = [nodes[name] for name in (pair.query, pair.key)], known[pair]
        live = masks[0][pair.queries].any(axis=1)
        sides = zip(ends, masks, (pair.queries, pair.keys), pair.turned(count), strict=True)
        for node, mask, columns, mixtures in sides:
            heads, first = np.unique(columns[live], axis=0, return_index=True)
            kept = heads[mask[heads]].reshape(len(heads), count)
            part = heads, kept, mixtures[pair.groups[live]][first]
            parts.setdefault(str(node.name), []).append(part)
    return {name: _turn(cut, nodes[name], of_node) for name, of_node in parts.items()}


def _turn(cut: Cut, node: ir.Node, parts: Sequence[tuple[Ids, Ids, Array]]) -> Turn:
    """Parts of one node, which are of one size and of other channels."""
    columns, kept, mixtures = (np.concatenate(part) for part in zip(*parts, strict=True))
    turn = Turn(columns, kept, mixtures, np.zeros(1))
    bias = _bias(node, _form(node, cut.labels.graph))
    if bias is None or bias.const_value is None:
        return turn
    mask = _mask(cut, node)
    whole = np.broadcast_to(bias.const_value.numpy().reshape(-1), mask.shape)
    return replace(turn, bias=turn(whole)[mask])


def _form(node: ir.Node, graph: Graph) -> Linear:
    form = linear_of(node, graph)
    assert form is not None
    return form


def _bias(node: ir.Node, form: Linear) -> ir.Value | None:
    place = bias_place(node, node, form)[0]
    if place is None or place[1] >= len(place[0].inputs):
        return None
    return place[0].inputs[place[1]]


def _is_plain(node: ir.Node, cut: Cut) -> bool:
    """Whether the bias of a projection, if it has one, is a number for each channel, or one."""
    bias = _bias(node, _form(node, cut.labels.graph))
    if bias is None or bias.const_value is None:
        return True
    shape = bias.const_value.shape.numpy()
    return math.prod(shape) in (1, (shape or (1,))[-1])


def _mask(cut: Cut, node: ir.Node) -> Mask:
    """(channels,) which channels of a projection's result stay."""
    channels = _form(node, cut.labels.graph).channels
    axis = cut.labels.axes[node.outputs[0]][channels]
    mask = cut.mask(axis)
    return np.ones(size_of(axis), bool) if mask is None else mask


def _count(queries: Mask, keys: Mask) -> int | None:
    """How many channels of each head stay, if that is one number; heads may go as a whole.

    Args:
        queries: (heads, size) which stay.
        keys: (heads, size) which of the key that they meet.
    """
    live = queries.any(axis=1)
    counts = {*queries[live].sum(axis=1).tolist(), *keys[live].sum(axis=1).tolist()}
    return counts.pop() if len(counts) == 1 else None
