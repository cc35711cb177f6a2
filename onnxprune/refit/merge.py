"""Recovery from the weights alone: channels that stay stand for those that are gone."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from onnxprune.axes.cut import Cut
from onnxprune.graph import Graph, Source, with_shapes
from onnxprune.refit.guess import Guess, Guesses
from onnxprune.refit.normal import RIDGE, solved
from onnxprune.refit.options import Options
from onnxprune.refit.refit import Refit, Track
from onnxprune.refit.sites import Site, dense_matrix, find_others, find_sites
from onnxprune.refit.write import overflow, write
from onnxprune.rewrite import plan
from onnxprune.units import Units

__all__ = ["merge"]

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def merge(
    units: Units,
    pruned: Graph,
    options: Options | None = None,
    track: Track = lambda sites: sites,
) -> Refit:
    """Let the weights that take fewer channels make up for those that are gone, without any inputs.

    With the mean products G that are guessed of the channels (`onnxprune.refit.guess`), those that
    stay S and those that go P, the weights W become W_S + G_SS^-1 G_SP W_P, tap by tap. This is
    Neuron Merging (Kim et al., NeurIPS 2020, https://arxiv.org/abs/2010.13064) with all channels
    that stay in the place of the one that is most alike: copies and scaled copies of channels that
    go stand for them. Means are guessed too roughly for an offset, so biases stay.

    Args:
        units: The units of the original, with the choices that made the smaller model.
        pruned: The smaller model; it is not changed.
        options: Only `ridge` and `columns` count; the defaults if None.
        track: Wraps the nodes to show how far it is.

    Returns:
        The smaller model with its new weights, and what was done, of 0 samples.
    """
    options = options or Options(method="merge")
    ridge = RIDGE if options.ridge is None else options.ridge
    model = pruned.model.clone()
    small, cut, slices = with_shapes(model, pruned.source), units.cut(), plan(units).slices
    sites = find_sites(units, small)
    others = find_others(units, small, sites)
    place = {node: i for i, node in enumerate(units.graph.model.graph)}
    sites = [site for site in sites if _mask(units, cut, site) is not None]
    sites.sort(key=lambda site: place[site.dense])
    text = f"{pruned.source.sha256} {options}"
    source = Source(None, hashlib.sha256(text.encode()).hexdigest())
    done = Refit(Graph(model, source, small.dims, small.numbers), left=others)
    guesses = Guesses(units.labels)
    nodes = guesses.walk()
    for site in track(sites):
        next(node for node in nodes if node is site.dense)
        guess, stays = guesses.get(site.dense_data), _stays(site, _mask(units, cut, site))
        if guess is not None and guess.axis != _axis(units, site):
            guess = None
        reason = _why_not(site, guess, stays, options)
        if reason is not None or guess is None or stays is None:
            done.left[str(site.small.name)] = str(reason)
            continue
        old = site.weight.const_value
        assert old is not None
        matrix = _merged(dense_matrix(site, slices), stays[:, :: guess.repeats], guess, ridge)
        fitted = site.form.stored(matrix, old.shape.numpy())
        if (reason := overflow(fitted, old.dtype)) is not None:
            done.left[str(site.small.name)] = reason
            continue
        write(model, [(site.small, site.form.weight)], fitted, "merge")
        done.fitted.append(str(site.small.name))
    return done


def _why_not(site: Site, guess: Guess | None, stays: Mask | None, options: Options) -> str | None:
    """Why the weight of a node stays as it was sliced, None if it need not."""
    if not site.alone:
        return "its weight serves other nodes as well"
    if stays is None:
        return "its groups go as a whole"
    if stays.shape[1] * site.form.owned > options.columns:
        return f"its weight has more than {options.columns:,} columns"
    if guess is None or guess.channels * guess.repeats != stays.size:
        return "the weights do not tell what it takes"
    return None


def _axis(units: Units, site: Site) -> int:
    """The axis of what it takes in the original that its columns run over."""
    return site.form.channels % len(units.labels.axes[site.dense_data])


def _mask(units: Units, cut: Cut, site: Site) -> Mask | None:
    """Which indices of that axis stay, None when all do."""
    return cut.mask(units.labels.axes[site.dense_data][_axis(units, site)])


def _stays(site: Site, mask: Mask | None) -> Mask | None:
    """(groups, indices) which indices of what it takes stay; None where groups go as a whole."""
    if mask is None or site.form.groups != site.dense_form.groups:
        return None
    stays = mask.reshape(site.form.groups, -1)
    return stays if len(set(stays.sum(axis=1).tolist())) == 1 else None


def _merged(dense: Doubles, stays: Mask, guess: Guess, ridge: float) -> Doubles:
    """(groups, columns, results) the matrix whose channels stand for those that are gone too.

    Args:
        dense: (groups, columns, results) the original's, the results sliced.
        stays: (groups, channels) which channels are left.
        guess: Of all channels.
        ridge: How firmly the sliced matrix is kept to.
    """
    groups, channels = stays.shape
    by_channel = dense.reshape(groups, channels, -1, dense.shape[2])
    products = guess.covariance + guess.mean * guess.mean[:, None]
    merged = []
    for group, (matrix, kept) in enumerate(zip(by_channel, stays, strict=True)):
        own = slice(group * channels, (group + 1) * channels)
        known, across = products[own, own][kept][:, kept], products[own, own][kept][:, ~kept]
        shares = solved(known, across, ridge)
        merged.append(matrix[kept] + np.einsum("sp,pto->sto", shares, matrix[~kept]))
    return np.stack(merged).reshape(groups, -1, dense.shape[2])
