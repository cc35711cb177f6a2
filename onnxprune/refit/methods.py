"""Ways to find the weight of a node anew."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxprune.axes.atoms import Ids
from onnxprune.refit.dual import equations
from onnxprune.refit.options import Options
from onnxprune.refit.rectified import Rectified
from onnxprune.refit.sites import Site
from onnxprune.registry import Registry

__all__ = ["METHODS", "Method", "Seen"]

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one batch shows of a node.

    Attributes:
        data: What it takes in the smaller model, as far as that is fitted; if the method is not
            sequential, `sliced`.
        sliced: What it takes in the original, sliced.
        whole: The same, not sliced.
        result: What is to be met, sliced: what the original gives, or a sum that it goes into.
        addend: What the smaller model adds to it there, None for nothing.
        picked: The rows of the result that are looked at.
        random: What picks more.
    """

    data: Array
    sliced: Array
    whole: Array
    result: Array
    addend: Array | None
    picked: Ids
    random: np.random.Generator


class Method(ABC):
    """Finds the weight of one node, fed batch by batch.

    Args:
        site: The node.
        dense: (groups, columns, results) its matrix in the original, the results sliced.
        small: (groups, columns, results) the same with sliced columns too.
        options: Of these `ridge` and `columns`.
    """

    sequential = False
    """Whether it looks at what the smaller model computes, not at the original alone."""

    sums = False
    """Whether it makes up for the error of what else goes into a sum."""

    turns = False
    """Whether queries and keys of fewer channels are to be mixtures of all that there were."""

    def __init__(self, site: Site, dense: Doubles, small: Doubles, options: Options) -> None:
        self.form = site.form
        self.dense, self.small, self.options = dense, small, options
        centred = site.bias is not None and site.alone
        self.equations = equations(small.shape[1], options.columns, centred)

    @classmethod
    def why_not(cls, site: Site) -> str | None:
        """Why it cannot find the weight of a node, None if it can."""
        return None

    @abstractmethod
    def add(self, seen: Seen) -> None:
        """Take a batch."""

    @abstractmethod
    def solve(self) -> tuple[Doubles, Doubles | None]:
        """The (groups, columns, results) matrix and the (groups, results) bias, None to keep it."""

    def fed(self, data: Array, seen: Seen) -> tuple[Array, Array, Array | None]:
        """Take rows of some data and the results they should give.

        Returns:
            The rows, the results, and what is added to them, each by groups.
        """
        rows = self.form.rows(data, seen.result.shape, seen.picked)
        results, addend = self.form.results(seen.result, seen.picked), None
        if seen.addend is not None:
            addend = self.form.results(seen.addend, seen.picked)
        self.equations.add(rows, results if addend is None else results - addend)
        return rows, results, addend


METHODS: Registry[type[Method]] = Registry("refit")


@METHODS.register("sequential")
class Sequential(Method):
    """Least squares from what the smaller model computes so far to what the original gives.

    He et al., ICCV 2017 (https://arxiv.org/abs/1707.06168), for every node and every tap of a
    kernel, with an offset; in front of a ReLU only what gets through counts.
    """

    sequential = True
    sums = True
    turns = True

    def __init__(self, site: Site, dense: Doubles, small: Doubles, options: Options) -> None:
        super().__init__(site, dense, small, options)
        self._rectified = Rectified(options.columns) if site.rectified else None

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        fed = self.fed(seen.data, seen)
        if self._rectified is not None:
            self._rectified.add(*fed)

    def solve(self) -> tuple[Doubles, Doubles]:
        """The solution, near the sliced matrix where the rows do not tell."""
        found = self.equations.solve(self.small, self.options.ridge)
        if self._rectified is None:
            return found
        return self._rectified.solve(*found, self.small, self.options.ridge)


@METHODS.register("one-shot")
class OneShot(Method):
    """Least squares from what is left of the original's inputs to what the original gives.

    OSSCAR (Meng et al., ICML 2024, https://arxiv.org/abs/2403.12983) with an offset.
    """

    turns = True

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        self.fed(seen.sliced, seen)

    def solve(self) -> tuple[Doubles, Doubles]:
        """The solution, near the sliced matrix where the rows do not tell."""
        return self.equations.solve(self.small, self.options.ridge)


@METHODS.register("mean")
class Mean(OneShot):
    """Sliced weights; the bias makes up for the mean of what is gone.

    VBP (https://arxiv.org/abs/2507.12988).
    """

    turns = False

    def solve(self) -> tuple[Doubles, Doubles]:
        """The sliced matrix and the offset that goes with it."""
        return self.equations.solve(self.small, math.inf)


@METHODS.register("affine")
class Affine(Method):
    """Sliced weights, scaled so that mean and variance are those of the original.

    What estimating the statistics of a batch normalisation again does (REPAIR, Jordan et al., ICLR
    2023, https://arxiv.org/abs/2211.08403), whether it is folded into the weights or not.
    """

    sequential = True

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        self.fed(seen.data, seen)

    def solve(self) -> tuple[Doubles, Doubles]:
        """The sliced matrix times a factor for each result, and the offset that goes with it."""
        given, wanted = self.equations.spread(self.small), self.equations.variance()
        dead = given <= 1e-12 * wanted.max(initial=1e-300)
        factor = np.where(dead, 1, np.sqrt(wanted / np.where(dead, 1, given)))
        self.small = self.small * factor[:, None, :]
        return self.equations.solve(self.small, math.inf)


@METHODS.register("channel")
class Channel(Method):
    """Every removed channel is written as a sum of those that stay, the same for all taps.

    GRAIL (https://arxiv.org/abs/2602.23795): ridge regression on the Gram matrix of the channels,
    not centred, without an offset.
    """

    def __init__(self, site: Site, dense: Doubles, small: Doubles, options: Options) -> None:
        super().__init__(site, dense, small, options)
        self.equations = equations(
            small.shape[1] // self.form.owned, options.columns, centred=False
        )

    @classmethod
    def why_not(cls, site: Site) -> str | None:
        """Where whole groups go there are no channels beside those that stay."""
        same = site.form.groups == site.dense_form.groups
        return None if same else "its groups go as a whole"

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        pixels = seen.sliced.size // seen.sliced.shape[self.form.channels]
        picked = seen.random.choice(pixels, min(pixels, len(seen.picked)), replace=False)
        kept = self.form.results(seen.sliced, picked)
        self.equations.add(kept, self.form.results(seen.whole, picked))

    def solve(self) -> tuple[Doubles, None]:
        """The matrix whose channels stand for those that are gone too; the bias as it was."""
        taps, (groups, _, results) = self.form.owned, self.dense.shape
        kept = self.small.shape[1] // taps
        nothing = np.zeros((groups, kept, self.dense.shape[1] // taps))
        spread, _ = self.equations.solve(nothing, self.options.ridge)
        by_tap = self.dense.reshape(groups, -1, taps, results)
        matrix = np.einsum("gsc,gcto->gsto", spread, by_tap)
        return matrix.reshape(groups, -1, results), None
