"""Recovery without training: weights that make the smaller model compute what the original does."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxprune.calibration import Calibration
from onnxprune.calibration.query_key import QueryKey
from onnxprune.calibration.statistics import find_pairs, measured, picker
from onnxprune.graph import Graph, Source, with_shapes
from onnxprune.ops import linear_of
from onnxprune.refit.methods import METHODS, Method, Seen
from onnxprune.refit.options import Options
from onnxprune.refit.sites import (
    Site,
    bias_of,
    dense_matrix,
    find_others,
    find_sites,
    sliced,
    small_matrix,
)
from onnxprune.refit.turn import find_turns
from onnxprune.refit.write import overflow, write
from onnxprune.rewrite import plan
from onnxprune.runtime.journal import Journal, Pages, identity
from onnxprune.runtime.replay import Replay
from onnxprune.runtime.store import Store
from onnxprune.units import Units

__all__ = ["Refit", "refit"]

_CHECKED = 256
_CLOSE = 1e-2
"""Of the largest result: half precision, and no more."""

Array = npt.NDArray[Any]
Track = Callable[[Sequence[Site]], Iterable[Site]]
Step = tuple[int, Sequence[ir.Value]]


@dataclass(frozen=True, slots=True)
class Refit:
    """A smaller model with fitted weights.

    Attributes:
        graph: The model.
        fitted: The nodes whose weights were fitted.
        left: Node -> why its weight stayed as it was sliced.
        samples: The number of calibration samples.
    """

    graph: Graph
    fitted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    samples: int = 0


def refit(
    units: Units,
    pruned: Graph,
    calibration: Calibration,
    options: Options | None = None,
    track: Track = lambda sites: sites,
    journal: Journal | None = None,
) -> Refit:
    """Fit the weights of a smaller model, so that it computes what the original does.

    Each node that multiplies what it takes with a weight gets, in topological order, the weight
    and the bias that come closest, in the least squares sense, to what the original gives there
    (He et al., ICCV 2017, https://arxiv.org/abs/1707.06168, generalised to every node that sees
    something else than in the original). No labels and no gradients are needed.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        pruned: The smaller model; it is not changed.
        calibration: Inputs.
        options: How; the defaults if None.
        track: Wraps the nodes to show how far it is.
        journal: Where the solutions are kept, node by node; what the same refit left there already
            is not solved again.

    Returns:
        The smaller model with its new weights, and what was done.

    Raises:
        OnnxPruneError: If there is no such method, or the model does not run with the inputs.
    """
    options = options or Options()
    method = METHODS.get(options.method)
    pages, pairs = _pages(journal, units, pruned, calibration, options), []
    if method.turns:
        known = measured(journal, units.graph, calibration)
        pairs = find_pairs(units.graph, calibration, options.memory, known)
    while True:
        done = _fitted(units, pruned, calibration, options, track, pages, pairs)
        whole = [pair for pair in pairs if (pair.query in done.left) == (pair.key in done.left)]
        if len(whole) == len(pairs):
            return done
        pairs, pages = whole, Pages()  # what stays as sliced must not meet what was turned


def _fitted(
    units: Units,
    pruned: Graph,
    calibration: Calibration,
    options: Options,
    track: Track,
    pages: Pages,
    pairs: Sequence[QueryKey],
) -> Refit:
    """Fit all nodes, with some queries and keys turned."""
    method = METHODS.get(options.method)
    model = pruned.model.clone()
    small = with_shapes(model, pruned.source)
    sites = find_sites(units, small, find_turns(units, pairs))
    others = find_others(units, small, sites)
    if not (options.sums and method.sums):
        sites = [replace(site, target=site.given, other=None) for site in sites]
    if not method.sequential:  # what takes as much as before would get the weight that it has
        cut = units.cut()
        sites = [s for s in sites if s.turn is not None or any(cut.axes(s.dense_data))]
    fitter = _Fitter(units, small, sites, calibration, method, options, pages)
    for site in track(sites):
        fitter.fit(site, [other for other in sites if other.weight is site.weight])
    fitter.close()
    text = f"{pruned.source.sha256} {options} {calibration.origin} {calibration.samples}"
    source = Source(None, hashlib.sha256(text.encode()).hexdigest())
    done = Graph(small.model, source, small.dims, small.numbers)
    return Refit(done, fitter.fitted, others | fitter.left, calibration.samples)


class _Fitter:
    """Walks through both models side by side and fits node by node."""

    def __init__(
        self,
        units: Units,
        small: Graph,
        sites: Sequence[Site],
        calibration: Calibration,
        method: type[Method],
        options: Options,
        pages: Pages,
    ) -> None:
        self._cut, self._slices = units.cut(), plan(units).slices
        self._method = method
        self._options = options
        self._graph = small
        self._calibration = calibration
        self._store = Store(options.memory)
        self._stops = _stops(units.graph, sites)
        until = {value: stop for site, stop in self._stops.items() for value in site.seen}
        self._dense = Replay(units.graph, calibration, self._store, until)
        self._small = Replay(small, calibration if method.sequential else (), self._store)
        self._pages = pages
        self._known: dict[ir.Value, dict[str, Array] | None] = {}
        self._methods: dict[ir.Value, Method] = {}
        self.fitted: list[str] = []
        self.left: dict[str, str] = {}

    def close(self) -> None:
        """Let go of all activations."""
        self._dense.close()
        self._small.close()

    def fit(self, site: Site, sharing: Sequence[Site]) -> None:
        """Fit the weight of a node; one that several share after the last of them."""
        name = str(sharing[-1].small.name)
        if site is sharing[0]:
            self._known[site.weight] = self._pages.get(name)
        known = self._known[site.weight]
        if known is not None:
            self._pass_by(site)
        elif (reason := self._gather(site)) is not None:
            self.left[str(site.small.name)] = reason
        if site is not sharing[-1]:
            return
        del self._known[site.weight]
        if known is None:
            known = self._solved(site, sharing)
            self._pages.put(name, arrays=known)
        self._put(site, sharing, known)

    def _solved(self, site: Site, sharing: Sequence[Site]) -> dict[str, Array]:
        """The weight and the offset of a node, as far as they are found, and why not."""
        names = [str(other.small.name) for other in sharing]
        method, weight = self._methods.pop(site.weight, None), site.weight.const_value
        if method is None:
            self.left.setdefault(names[-1], "nothing flows through it")
        found = {"left": np.array([self.left.get(name, "") for name in names])}
        if method is None or any(found["left"]):
            return found
        assert weight is not None
        matrix, offset = method.solve()
        fresh = {"weight": site.form.stored(matrix, weight.shape.numpy())}
        if site.bias is not None and offset is not None and len(sharing) == 1:
            fresh["offset"] = offset.reshape(-1)
        for array in fresh.values():
            if (reason := overflow(array, weight.dtype)) is not None:
                return {"left": np.array([reason] * len(names))}
        if (dtype := weight.dtype.numpy()).kind == "f":  # as it will be written; half of the bytes
            fresh["weight"] = fresh["weight"].astype(dtype)
        return found | fresh

    def _put(self, site: Site, sharing: Sequence[Site], found: Mapping[str, Array]) -> None:
        """Put what was found into the smaller model."""
        names = [str(other.small.name) for other in sharing]
        self.left.update((n, str(why)) for n, why in zip(names, found["left"], strict=True) if why)
        if "weight" not in found:
            for name in names:
                self.left.setdefault(name, "its weight serves a node that stays as sliced")
            return
        model, how = self._graph.model, self._options.method
        write(model, [(other.small, other.form.weight) for other in sharing], found["weight"], how)
        if site.bias is not None and "offset" in found:
            write(model, [site.bias], found["offset"], how)
        self.fitted += names
        if len(sharing) > 1 and self._method.sequential:
            self._small.close()  # what was computed with the weight as it was is no longer true
            self._small = Replay(self._graph, self._calibration, self._store)

    def _steps(self, site: Site) -> tuple[Step, Step]:
        """How far both models run for a node, and what is seen of them then."""
        known = [site.data] + ([site.other] if site.other is not None else [])
        return (self._stops[site], site.seen), (self._small.index(site.small), known)

    def _pass_by(self, site: Site) -> None:
        """Leave a node that is known; what flows there is only computed if others need it."""
        dense, small = self._steps(site)
        self._dense.pass_by(*dense)
        if self._method.sequential:
            self._small.pass_by(*small)

    def _gather(self, site: Site) -> str | None:
        """Sum up what the fit of a node needs; why that cannot be, None if it can."""
        self._random = picker(self._options.seed, site.small)
        place, other = self._steps(site)
        dense = self._dense.advance(*place)
        small: Iterable[Mapping[str, Array]] = itertools.repeat({})
        if self._method.sequential:
            small = self._small.advance(*other)
        reason = self._why_not(site)
        for whole, part in zip(dense, small, strict=self._method.sequential):
            if reason is None:
                reason = self._add(site, whole, part)
        return reason

    def _why_not(self, site: Site) -> str | None:
        others = {use.node for use in site.weight.uses()} - {site.small}
        if any(linear_of(node, self._graph) != site.form for node in others):
            return "its weight serves a node that is no such product as well"
        return self._method.why_not(site)

    def _add(self, site: Site, whole: Mapping[str, Array], part: Mapping[str, Array]) -> str | None:
        """Take one batch; why it cannot be taken, None if it was."""
        full = whole[str(site.dense_data.name)]
        try:
            result = whole[str(site.target.name)]
            if site.turn is not None:
                result = site.turn(result, site.form.channels)
            result = sliced(self._cut, site.target, result)
            kept = sliced(self._cut, site.dense_data, full)
        except ValueError as error:
            return str(error)
        if not site.alone:
            trailing = [1] * (result.ndim - 1 - site.form.channels % result.ndim)
            result = result - bias_of(site).reshape(-1, *trailing)
        addend = None if site.other is None else part[str(site.other.name)]
        if addend is not None:  # one for all positions, say
            addend = np.broadcast_to(addend, result.shape)
        data = part[str(site.data.name)] if self._method.sequential else kept
        if data.shape != kept.shape:
            return "what it takes is not a slice of what the original takes"
        if not (np.isfinite(data).all() and np.isfinite(result).all()):
            return "what flows through it is not finite"
        if not result.size:
            return None
        if site.weight not in self._methods:
            if not _holds(site, whole):
                return "it does not compute what its weight says"
            self._methods[site.weight] = self._start(site)
        picked = site.form.some(result.shape, self._options.positions, self._random)
        seen = Seen(data, kept, full, result, addend, picked, self._random)
        self._methods[site.weight].add(seen)
        return None

    def _start(self, site: Site) -> Method:
        """A method for a node, with what is left of the original's weight for each result."""
        matrix = small_matrix(site, self._slices)
        dense = matrix  # only `channel` reads it, and not where whole groups go
        if site.form.groups == site.dense_form.groups:
            dense = dense_matrix(site, self._slices)
        return self._method(site, dense, matrix, self._options)


def _pages(
    journal: Journal | None,
    units: Units,
    pruned: Graph,
    calibration: Calibration,
    options: Options,
) -> Pages:
    """Where a journal keeps the solutions of a refit, all of whose conditions are the same."""
    if journal is None:
        return Pages()
    models = identity(units.graph), identity(pruned)
    masks = [(unit.name, unit.mask.tobytes()) for unit in units.mutable]
    how = replace(options, memory=0)  # of no influence
    return journal.pages("refit", *models, masks, how, calibration.digest())


def _stops(graph: Graph, sites: Sequence[Site]) -> dict[Site, int]:
    """How far the original must have run for each site; biases may stand after later products."""
    place = {node: i for i, node in enumerate(graph.model.graph)}
    stops, last = {}, 0
    for site in sites:
        ends = [place[end] for value in site.seen if (end := value.producer()) is not None]
        last = stops[site] = max(last, 1 + max(ends))
    return stops


def _holds(site: Site, whole: Mapping[str, Array]) -> bool:
    """Whether the original's node is the product that it is taken for, on some rows."""
    form, weight = site.dense_form, site.dense.inputs[site.dense_form.weight]
    bias = site.dense.inputs[2] if form.bias is not None and len(site.dense.inputs) > 2 else None
    given = whole[str(site.dense.outputs[0].name)]
    if weight is None or weight.const_value is None or not given.size:
        return False
    picked = np.linspace(0, given.size // given.shape[form.channels] - 1, _CHECKED, dtype=np.int64)
    rows = form.rows(whole[str(site.dense_data.name)], given.shape, picked).astype(np.float64)
    wanted = form.results(given, picked)
    found = rows @ form.matrix(weight.const_value.numpy().astype(np.float64))
    if bias is not None:
        shape = () if bias.const_value is None else bias.const_value.shape.numpy()
        if bias.const_value is None or math.prod(shape) not in (1, given.shape[form.channels]):
            return False
        if shape and math.prod(shape) != shape[-1]:
            return False  # one for each row
        offset = np.broadcast_to(
            bias.const_value.numpy().reshape(-1), (found.shape[0] * found.shape[2],)
        )
        found = found + offset.reshape(found.shape[0], 1, -1)
    scale = float(np.abs(wanted).max(initial=0.0)) + 1e-6
    return bool(np.abs(found - wanted).max() <= _CLOSE * scale)
