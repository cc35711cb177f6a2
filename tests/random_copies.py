"""Random small networks that also copy, fill up, pick by steps, and mix channels by equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from helpers import ints
from random_graphs import PIECES, SIDE, Network

MOST = 24


class Copies(Network):
    """A network of the usual pieces, and of those below as often."""

    def pieces(self) -> Sequence[Callable[[Self], None]]:
        return (*PIECES, *OWN, *OWN)

    def joined(self, x: str, size: int, chance: float) -> None:
        """Add a tensor, mostly met by a convolution with as many channels."""
        self.add(x, size)
        if self.random.random() < chance:
            other = self.conv_to(size)
            self.add(self.one(self.random.choice(["Add", "Mul"]), x, other), size)

    def step(self) -> None:
        x, size = self.pick()
        start, step = self.random.randrange(size), self.random.choice([2, 3, -1, -2])
        numbers = [start, 2**62 if step > 0 else -(2**62), 1, step]
        bounds = [self.weight(ints(number)) for number in numbers]
        self.add(self.one("Slice", x, *bounds), len(range(size)[start::step]))

    def tile(self) -> None:
        x, size = self.pick()
        times = self.random.choice([2, 3])
        if size * times <= MOST:
            tiled = self.one("Tile", x, self.weight(ints(1, times, 1, 1)))
            self.joined(tiled, size * times, 0.5)

    def copies(self) -> None:
        size = self.random.choice([4, 6, 8])
        op = self.random.choice(["Expand", "Tile"])
        made = self.one(op, self.conv_to(1), self.weight(ints(1, size, 1, 1)))
        if self.random.random() < 0.4:  # how many copies there are is counted
            total = self.one("ReduceSum", made, self.weight(ints(1)), keepdims=1)
            x, channels = self.pick()
            self.add(self.one("Mul", x, total), channels)
        self.joined(made, size, 0.8)

    def zeros(self) -> None:
        x, size = self.pick()
        count = self.random.choice([1, 2, 4])
        batch = self.one("Shape", x, start=0, end=1)
        shape = self.one("Concat", batch, self.weight(ints(count, SIDE, SIDE)), axis=0)
        parts = self.random.sample([x, self.one("ConstantOfShape", shape)], 2)
        self.joined(self.one("Concat", *parts, axis=1), size + count, 0.7)

    def single(self) -> None:
        x, size = self.pick()
        place = np.array(self.random.randrange(-size, size))
        taken = self.one("Gather", x, self.weight(place), axis=1)
        one = self.one("Unsqueeze", taken, self.weight(ints(1)))
        y, channels = self.pick()
        self.add(self.one("Mul", y, one), channels)

    def repeat(self) -> None:
        """Every channel several times, as keys are repeated for groups of heads."""
        x, size = self.pick()
        times = self.random.choice([2, 3])
        if size * times > MOST:
            return
        wide = self.reshape(x, 0, size, 1, SIDE, SIDE)
        shape = self.one("Shape", wide, start=0, end=2)
        target = self.one("Concat", shape, self.weight(ints(times, SIDE, SIDE)), axis=0)
        made = self.one("Expand", wide, target)
        merged = self.reshape(made, 0, self.random.choice([-1, size * times]), SIDE, SIDE)
        self.joined(merged, size * times, 0.8)

    def mix(self) -> None:
        x, size = self.pick()
        new = self.random.choice([3, 4, 6])
        weight = self.weight((size, new))
        self.add(self.one("Einsum", x, weight, equation='"nchw,ck->nkhw"'), new)

    def blocks(self) -> None:
        x, size = self.pick()
        if size % 4 == 0:
            mode = self.random.choice(['"DCR"', '"CRD"'])
            deep = self.one("DepthToSpace", x, blocksize=2, mode=mode)
            self.add(self.one("SpaceToDepth", deep, blocksize=2), size)

    def edge(self) -> None:
        x, size = self.pick()
        pads = self.weight(ints(0, 1, 0, 0, 0, 0, 0, 0))
        self.add(self.one("Pad", x, pads, mode='"edge"'), size + 1)


OWN: tuple[Callable[[Copies], None], ...] = (
    *(Copies.step, Copies.tile, Copies.copies, Copies.zeros, Copies.single, Copies.repeat),
    *(Copies.mix, Copies.blocks, Copies.edge),
)
