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
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, Source, with_shapes
from onnxprune.ops import linear_of
from onnxprune.refit.methods import METHODS, Method, Seen
from onnxprune.refit.sites import Site, bias_of, dense_matrix, find_sites, sliced
from onnxprune.refit.write import write
from onnxprune.rewrite import plan
from onnxprune.runtime.store import Store
from onnxprune.runtime.walk import Walk
from onnxprune.units import Units

__all__ = ["Options", "Refit", "refit"]

_CHECKED = 256
_CLOSE = 1e-2
"""Of the largest result: half precision, and no more."""

Array = npt.NDArray[Any]
Track = Callable[[Sequence[Site]], Iterable[Site]]


@dataclass(frozen=True, slots=True)
class Options:
    """How weights are fitted.

    Attributes:
        method: ``sequential`` (least squares from what the smaller model computes, as far as it
            is fitted), ``one-shot`` (from what the original computes, sliced), ``channel``,
            ``mean`` or ``affine``; see `onnxprune.refit.methods`.
        ridge: How firmly the sliced weight is kept to, as a part of the inputs' mean variance.
        positions: At most how many rows of a sample are looked at, picked at random.
        seed: What picks them.
        memory: Bytes of activations that may lie in memory; what is beyond goes to disk.
        sums: Whether what goes into a residual sum makes up for the error of the other addend.
        columns: Weights of more columns stay as they are sliced: their statistics take the square.
    """

    method: str = "sequential"
    ridge: float = 1e-3
    positions: int = 32
    seed: int = 0
    memory: int = 1 << 30
    sums: bool = True
    columns: int = 8192

    def __post_init__(self) -> None:
        if not self.ridge >= 0 or self.positions < 1 or self.seed < 0 or self.columns < 1:
            raise OnnxPruneError(
                f"A refit needs a ridge and a seed of at least 0 and positions and columns of at "
                f"least 1, not {self.ridge}, {self.seed}, {self.positions} and {self.columns}."
            )


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

    Returns:
        The smaller model with its new weights, and what was done.

    Raises:
        OnnxPruneError: If there is no such method, or the model does not run with the inputs.
    """
    options = options or Options()
    method = METHODS.get(options.method)
    model = pruned.model.clone()
    small = with_shapes(model, pruned.source)
    sites = find_sites(units, small)
    if not (options.sums and method.sums):
        sites = [replace(site, target=site.given, other=None) for site in sites]
    if not method.sequential:  # what takes as much as before would get the weight that it has
        cut = units.cut()
        sites = [site for site in sites if any(True for _ in cut.axes(site.dense_data))]
    fitter = _Fitter(units, small, sites, calibration, method, options)
    for site in track(sites):
        fitter.fit(site, [other for other in sites if other.weight is site.weight])
    fitter.close()
    text = f"{pruned.source.sha256} {options} {calibration.origin} {calibration.samples}"
    source = Source(None, hashlib.sha256(text.encode()).hexdigest())
    done = Graph(small.model, source, small.dims, small.numbers)
    return Refit(done, fitter.fitted, fitter.left, calibration.samples)


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
    ) -> None:
        self._cut, self._slices = units.cut(), plan(units).slices
        self._method = method
        self._options = options
        self._graph = small
        self._calibration = calibration
        self._store = Store(options.memory)
        self._stops = _stops(units.graph, sites)
        until = {value: stop for site, stop in self._stops.items() for value in site.seen}
        self._dense = Walk(units.graph, calibration, self._store, until)
        self._small = Walk(small, calibration if method.sequential else (), self._store)
        self._random = np.random.default_rng(options.seed)
        self._methods: dict[ir.Value, Method] = {}
        self.fitted: list[str] = []
        self.left: dict[str, str] = {}

    def close(self) -> None:
        """Let go of all activations."""
        self._dense.close()
        self._small.close()

    def fit(self, site: Site, sharing: Sequence[Site]) -> None:
        """Fit the weight of a node; one that several share after the last of them."""
        name = str(site.small.name)
        if (reason := self._gather(site)) is not None:
            self.left[name] = reason
        if site is not sharing[-1]:
            return
        method = self._methods.pop(site.weight, None)
        if method is None:
            self.left.setdefault(name, "nothing flows through it")
            return
        if any(str(other.small.name) in self.left for other in sharing):
            return
        matrix, offset = method.solve()
        weight = site.weight.const_value
        assert weight is not None
        model, how = self._graph.model, self._options.method
        places = [(other.small, other.form.weight) for other in sharing]
        write(model, places, site.form.stored(matrix, weight.shape.numpy()), how)
        if site.bias is not None and offset is not None and len(sharing) == 1:
            write(model, [site.bias], offset.reshape(-1), how)
        self.fitted += [str(other.small.name) for other in sharing]
        if len(sharing) > 1 and self._method.sequential:
            self._small.close()  # what was computed with the weight as it was is no longer true
            self._small = Walk(self._graph, self._calibration, self._store)

    def _gather(self, site: Site) -> str | None:
        """Sum up what the fit of a node needs; why that cannot be, None if it can."""
        dense = self._dense.advance(self._stops[site], site.seen)
        known = [site.data] + ([site.other] if site.other is not None else [])
        small: Iterable[Mapping[str, Array]] = itertools.repeat({})
        if self._method.sequential:
            small = self._small.advance(self._small.index(site.small), known)
        reason = self._why_not(site)
        for whole, part in zip(dense, small, strict=self._method.sequential):
            if reason is None:
                reason = self._add(site, whole, part)
        return reason

    def _why_not(self, site: Site) -> str | None:
        others = {use.node for use in site.weight.uses()} - {site.small}
        if any(linear_of(node, self._graph) != site.form for node in others):
            return "its weight serves a node that is no such product as well"
        if _width(site) > self._options.columns:
            return f"its weight has more than {self._options.columns:,} columns"
        return self._method.why_not(site)

    def _add(self, site: Site, whole: Mapping[str, Array], part: Mapping[str, Array]) -> str | None:
        """Take one batch; why it cannot be taken, None if it was."""
        full = whole[str(site.dense_data.name)]
        try:
            result = sliced(self._cut, site.target, whole[str(site.target.name)])
            kept = sliced(self._cut, site.dense_data, full)
        except ValueError as error:
            return str(error)
        if not site.alone:
            trailing = [1] * (result.ndim - 1 - site.form.channels % result.ndim)
            result = result - bias_of(site).reshape(-1, *trailing)
        addend = None if site.other is None else part[str(site.other.name)]
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
        small = site.weight.const_value
        assert small is not None
        matrix = site.form.matrix(small.numpy()).astype(np.float64)
        dense = matrix  # only `channel` reads it, and not where whole groups go
        if site.form.groups == site.dense_form.groups:
            dense = dense_matrix(site, self._slices)
        return self._method(site, dense, matrix, self._options.ridge)


def _stops(graph: Graph, sites: Sequence[Site]) -> dict[Site, int]:
    """How far the original must have run for each site; biases may stand after later products."""
    place = {node: i for i, node in enumerate(graph.model.graph)}
    stops, last = {}, 0
    for site in sites:
        ends = [place[end] for value in site.seen if (end := value.producer()) is not None]
        last = stops[site] = max(last, 1 + max(ends))
    return stops


def _width(site: Site) -> int:
    """How many columns its matrix has."""
    weight = site.weight.const_value
    assert weight is not None
    return int(site.form.matrix(np.zeros(weight.shape.numpy(), np.float32)).shape[1])


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
